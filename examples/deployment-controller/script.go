package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/manifest"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/store"
)

//go:embed manifests/nginx.yaml
var sample string

//go:embed manifests/nginx-update.yaml
var sampleUpdate string

// sampleKey is the Deployment of both.
var sampleKey = store.Key{Namespace: "default", Name: "nginx"}

// script is what the program does beside its controllers.
type script struct {
	*program
	docs []manifest.Document
	bad  int // problems with documents

	applied  []store.Key // Deployments
	revision int64       // the newest that applying made
	result   error
}

// run applies what there is to apply and then goes on for as long as it was
// asked to. It returns errDone when the program is to end.
func (s *script) run(ctx context.Context) error {
	s.result = s.play(ctx)
	if ctx.Err() != nil && !s.options.wait {
		return nil
	}
	return errDone
}

func (s *script) play(ctx context.Context) error {
	if s.options.samples() && s.isNew() {
		return s.playSamples(ctx)
	}
	s.applyAll(ctx, s.docs)
	if len(s.options.files) == 0 { // nothing was named: all that there is
		for _, d := range s.view.now().deployments {
			s.applied = append(s.applied, store.KeyOf(d))
		}
	}
	if s.options.wait {
		if err := s.waitComplete(ctx); err != nil {
			return err
		}
	}
	switch {
	case s.bad == 1:
		return errors.New("a problem with the manifests, told above")
	case s.bad > 1:
		return fmt.Errorf("%d problems with the manifests, listed above", s.bad)
	}
	return s.stay(ctx)
}

// isNew reports whether the etcd has nothing yet, or what a run left that ended
// before it updated the sample: the sample as it was created.
func (s *script) isNew() bool {
	there := s.view.now().deployments
	return len(there) == 0 || len(there) == 1 && store.KeyOf(there[0]) == sampleKey && there[0].Generation == 1
}

// stay lets the controllers run until the program is interrupted, if there are
// any and nothing else was asked for.
func (s *script) stay(ctx context.Context) error {
	if s.options.wait || len(s.options.controllers) == 0 {
		return nil
	}
	s.hint()
	<-ctx.Done()
	return nil
}

// playSamples shows a rollout and an update.
func (s *script) playSamples(ctx context.Context) error {
	for _, text := range []string{sample, sampleUpdate} {
		docs, err := loadSample(text)
		if err != nil {
			return err
		}
		s.applyAll(ctx, docs)
		if s.bad > 0 {
			return errors.New("a sample could not be applied")
		}
		if len(s.options.controllers) == 0 {
			return nil
		}
		if err := s.waitComplete(ctx); err != nil {
			return err
		}
	}
	return s.stay(ctx)
}

func loadSample(text string) ([]manifest.Document, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	docs, bad := manifest.Load(scheme, []string{"-"}, strings.NewReader(text))
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return docs, nil
}

// applyAll applies every document that can be applied.
func (s *script) applyAll(ctx context.Context, docs []manifest.Document) {
	for _, doc := range docs {
		obj, err := s.apply(ctx, doc)
		if err != nil {
			problems := problemsOf(doc, err)
			s.bad += len(problems)
			s.screen.complain(problems)
			continue
		}
		if rev, err := store.ParseRevision(obj.GetResourceVersion()); err == nil {
			s.revision = max(s.revision, rev)
		}
		if _, ok := obj.(*appsv1.Deployment); ok {
			s.applied = append(s.applied, store.KeyOf(obj))
		}
	}
}

// waitComplete waits until every applied Deployment is complete. The replica
// must first have seen what was applied: before that, it may show a Deployment
// as complete that was just changed.
func (s *script) waitComplete(ctx context.Context) error {
	if s.options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.options.timeout, fmt.Errorf("not complete after %s", s.options.timeout))
		defer cancel()
	}
	if err := s.manager.Replica().WaitForRevision(ctx, s.revision); err != nil {
		return err
	}
	var pending, failed error
	s.view.each(ctx, func(now state) bool {
		pending, failed = s.judge(now)
		return pending != nil && failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case pending != nil:
		return fmt.Errorf("%w: %w", context.Cause(ctx), pending)
	}
	return nil
}

// judge says which applied Deployment is not complete yet, if any, and which
// has failed, if any.
func (s *script) judge(now state) (pending, failed error) {
	for _, key := range s.applied {
		d := now.deployment(key)
		if d == nil {
			return nil, fmt.Errorf("deployment %s was deleted", key)
		}
		if reason, bad := progress.Failed(d); bad {
			failed = errors.Join(failed, failure{d, reason})
		}
		if !progress.Complete(d) {
			pending = errors.Join(pending, fmt.Errorf("deployment %s: %d of %d replicas are updated, %d available",
				key, d.Status.UpdatedReplicas, replicasOf(d), d.Status.AvailableReplicas))
		}
	}
	return pending, failed
}

// problemsOf tells what is wrong with a document that could not be applied: a
// line for each field, as for those that could not be read.
func problemsOf(doc manifest.Document, err error) []*manifest.Error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return []*manifest.Error{{Source: doc.Source, Index: doc.Index, Err: err}}
	}
	var problems []*manifest.Error
	for _, cause := range status.Status().Details.Causes {
		problems = append(problems, &manifest.Error{
			Source: doc.Source, Index: doc.Index, Field: cause.Field, Err: errors.New(cause.Message),
		})
	}
	return problems
}

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// hint tells how to look further.
func (s *script) hint() {
	endpoints := strings.Join(s.connection.endpoints, ",")
	prefix := s.store.Prefix()
	same := "--endpoints=" + endpoints
	if prefix != store.DefaultPrefix {
		same += " --prefix=" + prefix
	}
	if s.options.etcd.Secured() {
		s.say("(The commands below also need this one's flags for certificates and user.)")
	}
	s.show(s.view.now())
	s.say("Everything is in etcd. Look at it, or change it, from another terminal:")
	s.say("  etcdctl --endpoints=%s get --prefix %s --keys-only", endpoints, prefix)
	s.say("  etcdctl --endpoints=%s watch --prefix %sapps/deployments/", endpoints, prefix)
	s.say("  go run ./examples/deployment-controller %s --controllers= -f FILE", same)
	s.say("Running until interrupted (Ctrl-C).")
}

func (p *program) say(format string, args ...any) { p.screen.say(fmt.Sprintf(format, args...)) }
