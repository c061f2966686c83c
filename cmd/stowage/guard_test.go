package main

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leases answers a List with what it holds, or with an error.
type leases struct {
	client.Reader
	items []coordinationv1.Lease
	err   error
}

func (l *leases) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*coordinationv1.LeaseList).Items = l.items
	return l.err
}

func lease(namespace, holder string, renewed time.Time) coordinationv1.Lease {
	return coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "karpenter-leader-election", UID: types.UID(namespace)},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: new(int32(15)), RenewTime: &metav1.MicroTime{Time: renewed},
		},
	}
}

func TestGuard(t *testing.T) {
	now := time.Unix(10_000, 0)
	never := lease("kube-system", "karpenter-1", now)
	never.Spec.RenewTime = nil
	for name, test := range map[string]struct {
		items []coordinationv1.Lease
		clear bool
	}{
		"no lease":                      {nil, true},
		"our own":                       {[]coordinationv1.Lease{lease("stowage", "us", now)}, true},
		"another's, live":               {[]coordinationv1.Lease{lease("kube-system", "karpenter-1", now.Add(-14*time.Second))}, false},
		"another's, expired":            {[]coordinationv1.Lease{lease("kube-system", "karpenter-1", now.Add(-15*time.Second))}, true},
		"another's, given back":         {[]coordinationv1.Lease{lease("kube-system", "", now)}, true},
		"another's, never renewed":      {[]coordinationv1.Lease{never}, true},
		"ours first, then another live": {[]coordinationv1.Lease{lease("stowage", "us", now), lease("z", "karpenter-1", now)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guard{reader: &leases{items: test.items}, name: "karpenter-leader-election", namespace: "stowage"}
			if _, ok := g.clear(); ok {
				t.Error("acts before it has looked")
			}
			if err := g.look(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if _, ok := g.clear(); ok != test.clear {
				t.Errorf("may act: %v, want %v", ok, test.clear)
			}
		})
	}
}

func TestGuardKeepsWhatItKnowsWhenALookFails(t *testing.T) {
	now := time.Unix(10_000, 0)
	r := &leases{err: errors.New("no answer")}
	g := &guard{reader: r, name: "karpenter-leader-election", namespace: "stowage"}
	if g.look(t.Context(), now) == nil {
		t.Error("the error is lost")
	}
	if _, ok := g.clear(); ok {
		t.Error("a look that failed lets Stowage act")
	}
	r.items, r.err = []coordinationv1.Lease{lease("kube-system", "karpenter-1", now)}, nil
	if err := g.look(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("no answer")
	if g.look(t.Context(), now) == nil {
		t.Error("the error is lost")
	}
	if wait, ok := g.clear(); ok || wait != guardInterval {
		t.Errorf("after a look that failed: may act %v, asks again after %v", ok, wait)
	}
}

// TestGuardGoesByChanges: the clock of whoever holds the other Lease may be an
// hour behind; that it renews shows all the same, and so does that it stops.
func TestGuardGoesByChanges(t *testing.T) {
	now := time.Unix(10_000, 0)
	r := &leases{}
	g := &guard{reader: r, name: "karpenter-leader-election", namespace: "stowage"}
	at := func(after time.Duration, renewed time.Duration) bool {
		t.Helper()
		r.items = []coordinationv1.Lease{lease("kube-system", "karpenter-1", now.Add(renewed-time.Hour))}
		if err := g.look(t.Context(), now.Add(after)); err != nil {
			t.Fatal(err)
		}
		_, ok := g.clear()
		return ok
	}
	if !at(0, 0) {
		t.Error("an old Lease counts as live though nobody renews it")
	}
	if at(5*time.Second, 2*time.Second) || at(10*time.Second, 4*time.Second) {
		t.Error("acts beside a Lease that is renewed")
	}
	if at(20*time.Second, 4*time.Second) || !at(25*time.Second, 4*time.Second) {
		t.Error("the Lease is not live for fifteen seconds after its last change")
	}
}

func TestGuardForgetsAfterFailedLooks(t *testing.T) {
	r := &leases{}
	g := &guard{reader: r, name: "karpenter-leader-election", namespace: "stowage"}
	if err := g.look(t.Context(), time.Unix(10_000, 0)); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("no answer")
	for i := range guardPatience {
		if _, ok := g.clear(); !ok {
			t.Fatalf("does not act after %d failed looks", i)
		}
		_ = g.look(t.Context(), time.Unix(10_000, 0))
	}
	if _, ok := g.clear(); ok {
		t.Errorf("acts on knowledge that %d looks could not renew", guardPatience)
	}
}
