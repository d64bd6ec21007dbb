package workloads

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateProbe(path *field.Path, p *corev1.Probe) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateAction(path, action{p.Exec, p.HTTPGet, p.TCPSocket, p.GRPC, nil}, nil)
	errs = append(errs, notNegative(path.Child("initialDelaySeconds"), &p.InitialDelaySeconds)...)
	errs = append(errs, notNegative(path.Child("timeoutSeconds"), &p.TimeoutSeconds)...)
	errs = append(errs, notNegative(path.Child("periodSeconds"), &p.PeriodSeconds)...)
	errs = append(errs, notNegative(path.Child("successThreshold"), &p.SuccessThreshold)...)
	errs = append(errs, notNegative(path.Child("failureThreshold"), &p.FailureThreshold)...)
	if grace := p.TerminationGracePeriodSeconds; grace != nil && *grace <= 0 {
		errs = append(errs, field.Invalid(path.Child("terminationGracePeriodSeconds"), *grace, "must be more than 0"))
	}
	return errs
}

// oneSuccess checks a liveness or startup probe, which must not require several successes.
func oneSuccess(path *field.Path, p *corev1.Probe) field.ErrorList {
	if p == nil || p.SuccessThreshold == 1 {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("successThreshold"), p.SuccessThreshold, "must be 1")}
}

func validateHook(path *field.Path, h *corev1.LifecycleHandler, grace *int64) field.ErrorList {
	if h == nil {
		return nil
	}
	return validateAction(path, action{h.Exec, h.HTTPGet, h.TCPSocket, nil, h.Sleep}, grace)
}

// action is what a probe or a hook does: one of these.
type action struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

// validateAction checks the first action that is given, and rejects the others. grace is the Pod's grace period, which
// bounds a sleep.
func validateAction(path *field.Path, a action, grace *int64) field.ErrorList {
	var errs field.ErrorList
	found := false
	for _, way := range []struct {
		name  string
		given bool
		check func(*field.Path) field.ErrorList
	}{
		{"exec", a.exec != nil, func(at *field.Path) field.ErrorList { return validateExec(at, a.exec) }},
		{"httpGet", a.http != nil, func(at *field.Path) field.ErrorList { return validateHTTP(at, a.http) }},
		{"tcpSocket", a.tcp != nil, func(at *field.Path) field.ErrorList { return validateTarget(at.Child("port"), a.tcp.Port) }},
		{"grpc", a.grpc != nil, func(at *field.Path) field.ErrorList {
			return validateTarget(at.Child("port"), intstr.FromInt32(a.grpc.Port))
		}},
		{"sleep", a.sleep != nil, func(at *field.Path) field.ErrorList { return validateSleep(at, a.sleep, grace) }},
	} {
		switch at := path.Child(way.name); {
		case !way.given:
		case found:
			errs = append(errs, field.Forbidden(at, "only one action may be given"))
		default:
			found = true
			errs = append(errs, way.check(at)...)
		}
	}
	if !found {
		errs = append(errs, field.Required(path, "must have an action, such as exec or httpGet"))
	}
	return errs
}

func validateExec(path *field.Path, e *corev1.ExecAction) field.ErrorList {
	if len(e.Command) == 0 {
		return field.ErrorList{field.Required(path.Child("command"), "")}
	}
	return nil
}

func validateHTTP(path *field.Path, get *corev1.HTTPGetAction) field.ErrorList {
	var errs field.ErrorList
	if get.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, validateTarget(path.Child("port"), get.Port)...)
	switch get.Scheme {
	case corev1.URISchemeHTTP, corev1.URISchemeHTTPS:
	default:
		errs = append(errs, field.NotSupported(path.Child("scheme"), get.Scheme, []corev1.URIScheme{corev1.URISchemeHTTP, corev1.URISchemeHTTPS}))
	}
	for _, header := range get.HTTPHeaders {
		errs = append(errs, validateText(path.Child("httpHeaders"), header.Name, validation.IsHTTPHeaderName)...)
	}
	return errs
}

// validateSleep requires a sleep that ends within the grace period. Zero is allowed: it returns at once.
func validateSleep(path *field.Path, s *corev1.SleepAction, grace *int64) field.ErrorList {
	if s.Seconds < 0 || grace != nil && s.Seconds > *grace {
		return field.ErrorList{field.Invalid(path, s.Seconds, "must be from 0 to the terminationGracePeriodSeconds")}
	}
	return nil
}
