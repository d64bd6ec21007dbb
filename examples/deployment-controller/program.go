package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/controllers"
	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/controller/garbagecollector"
	"github.com/homeostat/homeostat/pkg/events"
	"github.com/homeostat/homeostat/pkg/manifest"
	"github.com/homeostat/homeostat/pkg/store"
)

// program is one run of the command.
type program struct {
	options options
	stdin   io.Reader
	screen  *screen

	connection *connection
	store      *store.Store
	manager    *controller.Manager
	api        *apiserver.Server // nil: it is not served
	recorder   *events.Recorder
	owners     *controllers.Owners
	view       *view
	board      *board
	named      map[store.Key]bool // the Deployments in the manifests
}

func newProgram(o options, stdin io.Reader, stdout, stderr io.Writer) *program {
	return &program{options: o, stdin: stdin, screen: newScreen(stdout, stderr)}
}

// errDone stops the manager when the program has finished its task.
var errDone = errors.New("done")

func (p *program) run(ctx context.Context) (err error) {
	defer p.screen.close()
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	if p.connection, err = dial(ctx, p.options); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.connection.close()) }()
	p.store, err = store.New(p.connection.client, store.Options{
		Scheme: scheme, Kinds: controllers.Kinds(), Prefix: p.options.prefix, Log: p.log(),
	})
	if err != nil {
		return err
	}
	docs, bad := manifest.Load(p.store, p.options.files, p.stdin)
	p.screen.complain(bad)
	p.named = deploymentsIn(docs)
	if err := p.assemble(); err != nil {
		return err
	}
	script := &script{program: p, docs: docs, bad: len(bad)}
	if err := p.manager.Add("script", script.run, controller.RunnableOptions{}); err != nil {
		return err
	}
	if err := p.manager.Run(ctx); !errors.Is(err, errDone) {
		return err
	}
	return script.result
}

// assemble creates the manager and adds the chosen controllers.
func (p *program) assemble() (err error) {
	if p.manager, err = controller.NewManager(p.store, controller.ManagerOptions{Log: p.log()}); err != nil {
		return err
	}
	if err = p.addRecorder(); err != nil {
		return err
	}
	if p.owners, err = controllers.NewOwners(p.manager); err != nil {
		return err
	}
	if p.view, err = newView(p.manager.Replica(), p.owners); err != nil {
		return err
	}
	for _, name := range p.options.controllers {
		if err := p.addController(name); err != nil {
			return err
		}
	}
	if err := p.addAPI(); err != nil {
		return err
	}
	p.board = &board{p, newDirtyKeys()}
	if p.options.quiet {
		return nil
	}
	if err := p.manager.Add("show-events", p.showEvents, controller.RunnableOptions{}); err != nil {
		return err
	}
	return p.manager.Add("display", p.board.run, controller.RunnableOptions{})
}

// onlyNamed reports whether the program only applies manifests and runs no controllers.
func (p *program) onlyNamed() bool {
	return len(p.options.files) > 0 && len(p.options.controllers) == 0
}

// deploymentsIn returns the keys of the Deployments among documents.
func deploymentsIn(docs []manifest.Document) map[store.Key]bool {
	named := map[store.Key]bool{}
	for _, doc := range docs {
		if d, ok := doc.Object.(*appsv1.Deployment); ok {
			named[store.Key{Namespace: cmp.Or(d.Namespace, "default"), Name: d.Name}] = true
		}
	}
	return named
}

func (p *program) addController(name string) error {
	switch name {
	case deploymentController:
		return controllers.AddDeployment(p.manager, p.owners, p.recorder)
	case replicaSetController:
		recorder, err := p.recorder.WithController("replicaset-controller")
		if err != nil {
			return err
		}
		return controllers.AddReplicaSet(p.manager, p.owners, recorder)
	case hollowNode:
		recorder, err := p.recorder.WithController("hollow-node")
		if err != nil {
			return err
		}
		return controllers.AddHollowNode(p.manager, p.options.startDelay, p.options.seed, recorder)
	case podCollector:
		return controllers.AddPodCollector(p.manager)
	case garbageCollector:
		return garbagecollector.Add(p.manager, &appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{})
	}
	return fmt.Errorf("no controller has the name %q", name)
}

// log returns the program's logger.
func (p *program) log() logr.Logger {
	return logr.New(logSink{write: p.screen.warn, verbosity: p.options.verbosity})
}
