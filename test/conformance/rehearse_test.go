package conformance_test

import (
	"context"
	"errors"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A witness runs instances, and remembers what EC2 said last.
type witness struct {
	aws.Runner
	said string
}

func (w *witness) RunInstances(ctx context.Context, in *ec2.RunInstancesInput, opts ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error) {
	out, err := w.Runner.RunInstances(ctx, in, opts...)
	w.said = ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		w.said = api.ErrorCode()
	}
	return out, err
}

// TestRehearsal: a class that the controller's role may not launch from says which call it is, before anybody waits for a node;
// nothing is launched to find out, and it is asked seldom.
func TestRehearsal(t *testing.T) {
	a := newAccount(t)
	p, w := a.provider(), &witness{Runner: a.ec2}
	a.resolver.Rehearse = func(ctx context.Context, c *aws.Class) error { return p.Rehearse(ctx, c, w) }
	now := time.Now()
	look := func() *metav1.Condition {
		t.Helper()
		if _, err := a.resolver.Reconcile(t.Context(), now, "default"); err != nil {
			t.Fatal(err)
		}
		return meta.FindStatusCondition(a.class.Status.Conditions, v1.ConditionValidationSucceeded)
	}
	for name, edit := range map[string]func(*v1.EC2NodeClassSpec){
		"plain":          func(*v1.EC2NodeClassSpec) {},
		"with interface": func(s *v1.EC2NodeClassSpec) { s.AssociatePublicIPAddress = sdk.Bool(false) },
	} {
		edit(&a.class.Spec)
		a.class.Generation++
		for range 3 {
			now = now.Add(time.Minute)
			if c := look(); c.Status != metav1.ConditionTrue || !a.class.IsReady() || w.said != "DryRunOperation" {
				t.Errorf("%s: the condition is %+v, and EC2 says %q", name, c, w.said)
			}
		}
	}
	if fleets, runs := a.sim.Calls("CreateFleet"), a.sim.Calls("RunInstances"); fleets != 2 || runs != 2 || len(a.sim.Instances()) > 0 {
		t.Errorf("%d and %d dry runs of two classes, %d instances", fleets, runs, len(a.sim.Instances()))
	}
	for _, call := range []string{"CreateFleet", "RunInstances"} {
		a.sim.Deny(call)
		now = now.Add(11 * time.Minute)
		if c := look(); c.Status != metav1.ConditionFalse || c.Reason != call+"AuthCheckFailed" || a.class.IsReady() {
			t.Errorf("%s is denied, and the condition is %+v", call, c)
		}
		a.sim.Allow(call)
		now = now.Add(2 * time.Minute)
		if c := look(); c.Status != metav1.ConditionTrue || !a.class.IsReady() {
			t.Errorf("%s is allowed again, and the condition is %+v", call, c)
		}
	}
	a.sim.Throttle("RunInstances", 10)
	now = now.Add(11 * time.Minute)
	if _, err := a.resolver.Reconcile(t.Context(), now, "default"); err == nil || !a.class.IsReady() {
		t.Errorf("EC2 does not say whether it may be launched, and the class is ready: %v, the error %v", a.class.IsReady(), err)
	}
}

// TestRehearsalWaits for the rest: a class whose subnets are gone is not looked at all the time for want of it.
func TestRehearsalWaits(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	a.resolver.Rehearse = func(ctx context.Context, c *aws.Class) error { return p.Rehearse(ctx, c, a.ec2) }
	a.resolve()
	a.class.Spec.SubnetSelectorTerms = []v1.SubnetSelectorTerm{{ID: "subnet-0000000000000dead"}}
	a.class.Generation++
	next, err := a.resolver.Reconcile(t.Context(), time.Now().Add(11*time.Minute), "default")
	if err != nil || a.class.IsReady() || next < 30*time.Second {
		t.Errorf("without subnets it is looked at again after %v, ready %v, %v", next, a.class.IsReady(), err)
	}
}

// TestDeniedStaysDenied until EC2 says otherwise, and is asked about seldom.
func TestDeniedStaysDenied(t *testing.T) {
	a := newAccount(t)
	p := a.provider()
	a.resolver.Rehearse = func(ctx context.Context, c *aws.Class) error { return p.Rehearse(ctx, c, a.ec2) }
	now := time.Now()
	look := func() *metav1.Condition {
		t.Helper()
		if _, err := a.resolver.Reconcile(t.Context(), now, "default"); err != nil {
			t.Fatal(err)
		}
		return meta.FindStatusCondition(a.class.Status.Conditions, v1.ConditionValidationSucceeded)
	}
	a.sim.Deny("RunInstances")
	now = now.Add(11 * time.Minute)
	said, before := *look(), a.sim.Calls("RunInstances")
	for range 20 {
		now = now.Add(2 * time.Second)
		if c := look(); *c != said {
			t.Errorf("the condition went from %+v to %+v", said, *c)
		}
	}
	if n := a.sim.Calls("RunInstances") - before; n > 0 {
		t.Errorf("%d dry runs in the minute after one was denied", n)
	}
	a.sim.Allow("RunInstances")
	a.sim.Throttle("RunInstances", 100)
	now = now.Add(2 * time.Minute)
	if _, err := a.resolver.Reconcile(t.Context(), now, "default"); err == nil || a.class.IsReady() {
		t.Errorf("it was denied, and EC2 does not say more: ready %v, error %v", a.class.IsReady(), err)
	}
	for a.sim.Calls("RunInstances") < before+110 && !a.class.IsReady() { // until it is not throttled any more
		now = now.Add(2 * time.Minute)
		_, _ = a.resolver.Reconcile(t.Context(), now, "default")
	}
	if !a.class.IsReady() {
		t.Error("it is allowed, and the class is not ready")
	}
}
