package main

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// childrenOf is the number of children of each parent.
const childrenOf = 10

const (
	inOneTransaction = "in one transaction"
	bySingleWrites   = "by single writes"
)

// childrenScenario measures reconciles that create ten children of a parent and write
// its status: in one transaction, with single writes of the same store, and with single
// compare-and-set puts of etcd's client, whose values are encoded in advance.
func childrenScenario(ctx context.Context, b *bench) ([]Row, error) {
	endpoint, stop, err := b.startEtcd(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	var rows []Row
	for _, workers := range b.scale.workers[:2] {
		b.logf("children: %d workers", workers)
		found, err := interleave(ctx, b.scale.rounds, []string{raw, bySingleWrites, inOneTransaction}, func(ctx context.Context, side string, round int) (sample, error) {
			label := ""
			if side == inOneTransaction {
				label = fmt.Sprint(workers)
			}
			return call[sample](ctx, b, "children", label, childrenArgs{
				Endpoint: endpoint, Side: side, Parents: b.scale.parents, Workers: workers,
				Prefix: fmt.Sprintf("/%d/%d/%s/", workers, round, side[:3]),
			})
		})
		if err != nil {
			return nil, err
		}
		row := Row{
			Name: fmt.Sprintf("parents given ten children and a status, %d workers, one transaction against single writes", workers), Unit: "1/s",
			Ours: found.value(inOneTransaction, "rate"), Peer: found.value(bySingleWrites, "rate"), Raw: found.value(raw, "rate"),
		}
		rows = append(rows, row.compare("transaction / single writes", found.ratios(inOneTransaction, bySingleWrites, "rate"), aim{atLeast: 5}))
		cpu := Row{
			Name: fmt.Sprintf("CPU time of the process per such parent, %d workers", workers), Unit: "µs",
			Ours: found.value(inOneTransaction, "cpu"), Peer: found.value(bySingleWrites, "cpu"), Raw: found.value(raw, "cpu"),
		}
		rows = append(rows, cpu.compare("transaction / single writes", found.ratios(inOneTransaction, bySingleWrites, "cpu"), aim{}))
		row.Name = fmt.Sprintf("the same single writes, %d workers, against raw puts", workers)
		row.Ours, row.Peer = row.Peer, nil
		rows = append(rows, row.compare(oursOfRaw, found.ratios(bySingleWrites, raw, "rate"), aim{}))
	}
	return rows, nil
}

type childrenArgs struct {
	Endpoint string
	Side     string
	Prefix   string // of the keys, unlike any before
	Parents  int
	Workers  int
}

func measureChildren(ctx context.Context, args childrenArgs) (sample, error) {
	client, err := connect(ctx, args.Endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s, err := store.New(client, store.Options{Prefix: args.Prefix, Kinds: []store.AnyKind{
		store.Kind[*appsv1.Deployment]{GroupVersionKind: deploymentKind},
		store.Kind[*appsv1.ReplicaSet]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("ReplicaSet")},
	}})
	if err != nil {
		return nil, err
	}
	var parents []*appsv1.Deployment
	for i := range args.Parents {
		d := newDeployment(i, 0)
		d.UID, d.CreationTimestamp = "", metav1.Time{}
		if _, err := s.Create(ctx, d); err != nil {
			return nil, err
		}
		parents = append(parents, d)
	}
	if args.Side == raw {
		return rawChildren(ctx, client, args, parents)
	}
	return createChildren(ctx, s, args)
}

// newChild returns a ReplicaSet of about its parent's size.
func newChild(parent *appsv1.Deployment, i int) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: parent.Namespace, Name: fmt.Sprintf("%s-%d", parent.Name, i), Labels: parent.Labels},
		Spec:       appsv1.ReplicaSetSpec{Replicas: parent.Spec.Replicas, Selector: parent.Spec.Selector, Template: parent.Spec.Template},
	}
}

func createChildren(ctx context.Context, s *store.Store, args childrenArgs) (sample, error) {
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	if err != nil {
		return nil, err
	}
	p := newProgress(args.Parents, 3600)
	fresh, all := queued(args.Parents)
	create := func(ctx context.Context, tx *controller.Tx, d *appsv1.Deployment) (controller.Result, error) {
		<-all
		p.start()
		d.Status.Replicas = childrenOf
		for i := range childrenOf {
			child := newChild(d, i)
			if err := tx.Own(d, child); err != nil {
				return controller.Result{}, err
			}
			if args.Side == inOneTransaction {
				tx.Create(child)
			} else if _, err := m.Store().Create(ctx, child); err != nil {
				return controller.Result{}, err
			}
		}
		if args.Side == inOneTransaction {
			tx.UpdateStatus(d)
		} else if _, err := m.Store().UpdateStatus(ctx, d); err != nil {
			return controller.Result{}, err
		}
		err := tx.Commit(ctx)
		if err == nil {
			p.finish()
		}
		return controller.Result{}, err
	}
	_, err = controller.New(m, "bench", create, controller.Options{Workers: args.Workers}, controller.For(informer.Or[*appsv1.Deployment]()), fresh)
	if err != nil {
		return nil, err
	}
	stop := background(ctx, func(ctx context.Context) { _ = m.Run(ctx) })
	defer stop()
	return p.rate(ctx)
}

// rawChildren writes the same objects with one put after the other for each parent.
func rawChildren(ctx context.Context, client *clientv3.Client, args childrenArgs, parents []*appsv1.Deployment) (sample, error) {
	values := make([][childrenOf]string, len(parents))
	statuses := make([]string, len(parents))
	for i, d := range parents {
		for k := range childrenOf {
			value, err := json.Marshal(newChild(d, k))
			if err != nil {
				return nil, err
			}
			values[i][k] = string(value)
		}
		d.Status.Replicas = childrenOf
		value, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		statuses[i] = string(value)
	}
	p := newProgress(len(parents), 3600)
	p.start()
	wait := inParallel(ctx, args.Workers, len(parents), func(ctx context.Context, i int) error {
		d := parents[i]
		for k := range childrenOf {
			key := fmt.Sprintf("%sapps/replicasets/%s/%s-%d", args.Prefix, d.Namespace, d.Name, k)
			if err := compareAndSet(ctx, client, key, 0, values[i][k]); err != nil {
				return err
			}
		}
		key := fmt.Sprintf("%sapps/deployments/%s/%s", args.Prefix, d.Namespace, d.Name)
		if err := compareAndSet(ctx, client, key, revisionOf(d), statuses[i]); err != nil {
			return err
		}
		p.finish()
		return nil
	})
	if err := wait(); err != nil {
		return nil, err
	}
	return p.rate(ctx)
}

// compareAndSet puts a value if the key has the given ModRevision; 0 means that the key
// must not exist.
func compareAndSet(ctx context.Context, client *clientv3.Client, key string, revision int64, value string) error {
	resp, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit()
	if err == nil && !resp.Succeeded {
		err = fmt.Errorf("key %s was changed by somebody else", key)
	}
	return err
}
