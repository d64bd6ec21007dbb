package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

//go:embed manifests/nginx.yaml
var sample string

//go:embed manifests/nginx-update.yaml
var sampleUpdate string

// sampleKey is the key of the Deployment in both samples.
var sampleKey = store.Key{Namespace: "default", Name: "nginx"}

// script applies manifests or samples, waits, and decides when the program ends.
type script struct {
	program *program
	docs    []manifest.Document
	bad     int // number of problems with documents

	rollouts map[store.Key]progress.Rollout // of the applied Deployments
	revision int64                          // the newest revision that applying created
	result   error
}

// run plays the script. It returns errDone when the program should end.
func (s *script) run(ctx context.Context) error {
	s.result = s.play(ctx)
	if ctx.Err() != nil && !s.program.options.wait {
		return nil
	}
	return errDone
}

func (s *script) play(ctx context.Context) error {
	if s.program.options.samples() && s.isNew() {
		return s.playSamples(ctx)
	}
	s.applyAll(ctx, s.docs)
	if len(s.program.options.files) == 0 { // without -f, wait for all Deployments
		for _, d := range s.program.view.all() {
			s.await(d)
		}
	}
	if s.program.options.wait {
		if err := s.waitComplete(ctx); err != nil {
			return err
		}
	}
	switch {
	case s.bad == 1:
		return errors.New("1 problem with the manifests, listed above")
	case s.bad > 1:
		return fmt.Errorf("%d problems with the manifests, listed above", s.bad)
	}
	return s.stay(ctx)
}

// isNew reports whether etcd has no Deployments yet, or only the sample as created by
// a run that ended before it updated the sample.
func (s *script) isNew() bool {
	existing := s.program.view.all()
	return len(existing) == 0 || len(existing) == 1 && store.KeyOf(existing[0]) == sampleKey && existing[0].Generation == 1
}

// stay waits until the program is interrupted, if it runs controllers and has no
// --wait.
func (s *script) stay(ctx context.Context) error {
	if s.program.options.wait || len(s.program.options.controllers) == 0 {
		return nil
	}
	if err := s.hint(ctx); err != nil {
		return nil // interrupted
	}
	<-ctx.Done()
	return nil
}

// playSamples rolls out the first sample and then the second, which updates it.
func (s *script) playSamples(ctx context.Context) error {
	for _, text := range []string{sample, sampleUpdate} {
		docs, err := loadSample(s.program.store, text)
		if err != nil {
			return err
		}
		s.applyAll(ctx, docs)
		if s.bad > 0 {
			return errors.New("a sample could not be applied")
		}
		if len(s.program.options.controllers) == 0 {
			return nil
		}
		if err := s.waitComplete(ctx); err != nil {
			return err
		}
	}
	return s.stay(ctx)
}

func loadSample(s *store.Store, text string) ([]manifest.Document, error) {
	docs, bad := manifest.Load(s, []string{"-"}, strings.NewReader(text))
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return docs, nil
}

// applyAll applies all documents. It reports those that fail and continues.
func (s *script) applyAll(ctx context.Context, docs []manifest.Document) {
	for _, doc := range docs {
		obj, err := s.program.apply(ctx, doc)
		if err != nil {
			problems := doc.Errors(err)
			s.bad += len(problems)
			s.program.screen.complain(problems)
			continue
		}
		if rev, err := store.ParseRevision(obj.GetResourceVersion()); err == nil {
			s.revision = max(s.revision, rev)
		}
		if d, ok := obj.(*appsv1.Deployment); ok {
			s.await(d)
		}
	}
}

// await adds a Deployment, as it is right after it was applied, to those to wait for.
func (s *script) await(d *appsv1.Deployment) {
	if s.rollouts == nil {
		s.rollouts = map[store.Key]progress.Rollout{}
	}
	s.rollouts[store.KeyOf(d)] = progress.NewRollout(d, time.Now())
}

// waitComplete waits until every applied Deployment is complete. First it waits for
// the replica to reach the applied revision: an older snapshot may show a changed
// Deployment as still complete.
func (s *script) waitComplete(ctx context.Context) error {
	if s.program.options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.program.options.timeout, fmt.Errorf("not complete after %s", s.program.options.timeout))
		defer cancel()
	}
	if err := s.program.manager.Replica().WaitForRevision(ctx, s.revision); err != nil {
		return err
	}
	return (&waiter{view: s.program.view, rollouts: s.rollouts}).wait(ctx)
}

func replicasOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// hint prints commands for looking at the objects and at etcd.
func (s *script) hint(ctx context.Context) error {
	kubectl, err := s.program.kubectl(ctx)
	if err != nil {
		return err
	}
	endpoints := strings.Join(s.program.connection.endpoints, ",")
	prefix := s.program.store.Prefix()
	flags := "--endpoints=" + endpoints
	if prefix != store.DefaultPrefix {
		flags += " --prefix=" + prefix
	}
	if s.program.options.etcd.Secured() {
		s.program.say("(The commands below also need the flags for certificates and user.)")
	}
	s.program.board.draw()
	s.program.say("Everything is in etcd. Look at it, or change it, from another terminal:")
	if kubectl != "" {
		s.program.say("  %s get deploy,rs,pods", kubectl)
		s.program.say("  %s scale deploy/%s --replicas=5", kubectl, sampleKey.Name)
	}
	s.program.say("  etcdctl --endpoints=%s get --prefix %s --keys-only", endpoints, prefix)
	s.program.say("  etcdctl --endpoints=%s watch --prefix %sapps/deployments/", endpoints, prefix)
	s.program.say("  go run ./examples/deployment-controller %s --controllers= -f FILE", flags)
	s.program.say("Running until interrupted (Ctrl-C).")
	return nil
}

// say prints a line, unless the program is to be quiet.
func (p *program) say(format string, args ...any) {
	if !p.options.quiet {
		p.screen.say(fmt.Sprintf(format, args...))
	}
}
