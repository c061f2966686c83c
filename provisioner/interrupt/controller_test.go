package interrupt

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// An office is a queue of notices, and where events and writes end; refuses fails writes.
type office struct {
	state.Writer
	waiting        []cloudprovider.Notice
	events, writes int
	refuses        error
	refusesStatus  error
	deaf           error // of Done, which forgets all the same
}

func (o *office) Notices() []cloudprovider.Notice { return o.waiting }

func (o *office) Done(_ context.Context, done []cloudprovider.Notice) error {
	var left []cloudprovider.Notice
	for _, n := range o.waiting {
		kept := true
		for _, d := range done {
			kept = kept && d != n
		}
		if kept {
			left = append(left, n)
		}
	}
	o.waiting = left
	return o.deaf
}

func (o *office) Event(runtime.Object, string, string, string) { o.events++ }

func (o *office) Patch(context.Context, client.Object, client.Patch) error {
	if o.refuses == nil {
		o.writes++
	}
	return o.refuses
}

func (o *office) PatchStatus(ctx context.Context, obj client.Object, patch client.Patch) error {
	if o.refusesStatus != nil {
		return o.refusesStatus
	}
	return o.Patch(ctx, obj, patch)
}

// rig is a controller in a cluster with one NodeClaim.
func rig(edit func(*v1.NodeClaim)) (*Controller, *office) {
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "one", UID: "uid-1", Labels: map[string]string{
		corev1.LabelInstanceTypeStable: "m5.large", corev1.LabelTopologyZone: "a", v1.LabelCapacityType: "spot",
	}}}
	claim.Status.ProviderID = "aws:///a/i-1"
	edit(claim)
	cluster, o := state.New(), &office{}
	cluster.Observe(claim)
	return &Controller{Cluster: cluster, Write: state.Recorded(o, cluster), Notifier: o, Availability: &cloudprovider.Availability{}, Events: o}, o
}

func spot(at time.Time) cloudprovider.Notice {
	return cloudprovider.Notice{ID: "m", Kind: cloudprovider.SpotInterrupted, Instance: "i-1", Urge: cloudprovider.Drain, At: at}
}

// TestStep: what is written of each notice, one after the other.
func TestStep(t *testing.T) {
	forced := cloudprovider.Notice{Kind: cloudprovider.SystemStatus, Instance: "i-1", Urge: cloudprovider.Force}
	gentle := cloudprovider.Notice{ID: "g", Kind: cloudprovider.ScheduledChange, Instance: "i-1", Urge: cloudprovider.Drain}
	advice := cloudprovider.Notice{ID: "a", Kind: cloudprovider.RebalanceRecommendation, Instance: "i-1"}
	type want struct {
		writes, events int
		deadline       time.Time
		kind           string
	}
	until := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, c := range []struct {
		name    string
		edit    func(*v1.NodeClaim)
		heeds   bool
		notices []cloudprovider.Notice // one a second
		want    want
	}{
		{name: "spot", notices: []cloudprovider.Notice{spot(until(2 * time.Minute))}, want: want{2, 1, until(110 * time.Second), "spot_interrupted"}},
		{name: "repeated", notices: []cloudprovider.Notice{spot(until(2 * time.Minute)), spot(until(2 * time.Minute))}, want: want{2, 1, until(110 * time.Second), "spot_interrupted"}},
		{name: "late", notices: []cloudprovider.Notice{spot(until(-time.Hour)), spot(until(-time.Hour))}, want: want{2, 1, until(30 * time.Second), "spot_interrupted"}},
		{name: "earlier", notices: []cloudprovider.Notice{gentle, spot(until(2 * time.Minute)), forced}, want: want{5, 3, until(2 * time.Second), "system_status"}},
		{name: "later", notices: []cloudprovider.Notice{forced, spot(until(2 * time.Minute)), gentle, forced}, want: want{2, 1, noon, "system_status"}},
		{name: "gentle", notices: []cloudprovider.Notice{gentle, gentle}, want: want{1, 1, time.Time{}, "scheduled_change"}},
		{name: "advice", notices: []cloudprovider.Notice{advice, advice}, want: want{events: 1}},
		{name: "advice that is heard", heeds: true, notices: []cloudprovider.Notice{advice, advice}, want: want{writes: 1, events: 1}},
		{name: "of others", notices: []cloudprovider.Notice{{ID: "o", Kind: cloudprovider.SpotInterrupted, Instance: "i-2", Urge: cloudprovider.Drain}, {ID: "n", Kind: cloudprovider.NoOp}}},
		{name: "without a machine", edit: func(c *v1.NodeClaim) { c.Status.ProviderID = "" }, notices: []cloudprovider.Notice{{ID: "n", Kind: cloudprovider.NoOp, Urge: cloudprovider.Drain}}},
		{name: "being given back", notices: []cloudprovider.Notice{forced}, edit: func(c *v1.NodeClaim) {
			v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: v1.ConditionInstanceTerminating, Status: metav1.ConditionTrue}, noon)
		}},
		{name: "drains sooner", notices: []cloudprovider.Notice{spot(until(2 * time.Minute))}, want: want{1, 1, until(time.Minute), "spot_interrupted"}, edit: func(c *v1.NodeClaim) {
			c.DeletionTimestamp, c.Finalizers = &metav1.Time{Time: noon}, []string{v1.FinalizerTermination}
			c.Annotations = map[string]string{v1.AnnotationTerminationTimestamp: until(time.Minute).Format(time.RFC3339)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit == nil {
				c.edit = func(*v1.NodeClaim) {}
			}
			ctl, o := rig(c.edit)
			ctl.Rebalance = c.heeds
			for i, n := range c.notices {
				o.waiting = []cloudprovider.Notice{n}
				if _, err := ctl.Step(t.Context(), noon.Add(time.Duration(i)*time.Second)); err != nil || len(o.waiting) > 0 {
					t.Fatalf("notice %d: %v, left %v", i, err, o.waiting)
				}
			}
			claim, _ := ctl.Cluster.Snapshot().NodeClaims.Get("one")
			got := want{writes: o.writes, events: o.events}
			if text := claim.Annotations[v1.AnnotationTerminationTimestamp]; text != "" {
				got.deadline, _ = time.Parse(time.RFC3339, text)
			}
			if why := v1.GetCondition(claim.Status.Conditions, v1.ConditionInterrupted); why != nil {
				got.kind = why.Reason
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestNotDoneBeforeItIsWritten: while writes fail a notice stays, and others do not wait for it.
func TestNotDoneBeforeItIsWritten(t *testing.T) {
	c, o := rig(func(*v1.NodeClaim) {})
	o.refuses = errors.New("no connection")
	o.waiting = []cloudprovider.Notice{spot(noon.Add(2 * time.Minute)), {ID: "n", Kind: cloudprovider.NoOp}}
	if _, err := c.Step(t.Context(), noon); err == nil || len(o.waiting) != 1 || o.events != 0 {
		t.Fatalf("%v, left %v, %d events", err, o.waiting, o.events)
	}
	o.refuses = nil
	if _, err := c.Step(t.Context(), noon.Add(time.Second)); err != nil || len(o.waiting) != 0 || o.events != 1 {
		t.Fatalf("%v, left %v, %d events", err, o.waiting, o.events)
	}
}

// TestAvailability: what spot interruptions take back is not bought for a while.
func TestAvailability(t *testing.T) {
	for kind, marked := range map[string]bool{cloudprovider.SpotInterrupted: true, cloudprovider.CapacityReservationInterrupted: true, cloudprovider.EventStatus: false} {
		c, o := rig(func(*v1.NodeClaim) {})
		o.waiting = []cloudprovider.Notice{{ID: "m", Kind: kind, Instance: "i-1", Urge: cloudprovider.Drain, At: noon.Add(2 * time.Minute)}}
		if _, err := c.Step(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		if got := c.Availability.Unavailable(noon, cloudprovider.Offering{InstanceType: "m5.large", Zone: "a", CapacityType: "spot"}); got != marked {
			t.Errorf("%s: unavailable %v, want %v", kind, got, marked)
		}
	}
}

// TestAvailabilityOfReservations: the mark is on the reservation that the machine was taken from, since what is
// reserved is counted by its name.
func TestAvailabilityOfReservations(t *testing.T) {
	c, o := rig(func(claim *v1.NodeClaim) {
		claim.Labels[v1.LabelCapacityType] = cloudprovider.Reserved
		claim.Annotations = map[string]string{v1.AnnotationOfferings: "m5.large/a/reserved/cr-1,m5.large/a/on-demand,m5.large/b/on-demand"}
	})
	o.waiting = []cloudprovider.Notice{{ID: "m", Kind: cloudprovider.CapacityReservationInterrupted, Instance: "i-1", Urge: cloudprovider.Drain}}
	if _, err := c.Step(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	reserved := cloudprovider.Offering{InstanceType: "m5.large", Zone: "a", CapacityType: cloudprovider.Reserved, Reservation: "cr-1"}
	bought := cloudprovider.Offering{InstanceType: "m5.large", Zone: "a", CapacityType: cloudprovider.OnDemand}
	if !c.Availability.Unavailable(noon, reserved) || c.Availability.Unavailable(noon, bought) {
		t.Error("not marked is the reservation, or marked what is bought")
	}
}

// TestMessagesAreCountedOnce: a message about many instances is one that was received and deleted, and one
// that could not be deleted is not.
func TestMessagesAreCountedOnce(t *testing.T) {
	c, o := rig(func(*v1.NodeClaim) {})
	registry := prometheus.NewRegistry()
	var err error
	if c.Metrics, err = NewMetrics(registry); err != nil {
		t.Fatal(err)
	}
	o.deaf = errors.New("no connection")
	for i, want := range []struct{ received, deleted float64 }{{1, 0}, {2, 0}, {2, 1}} {
		if want.received > float64(i) {
			for _, id := range []string{"i-1", "i-2", "i-3"} {
				o.waiting = append(o.waiting, cloudprovider.Notice{ID: "m", Kind: cloudprovider.ScheduledChange, Instance: id, Urge: cloudprovider.Drain})
			}
		}
		if _, err := c.Step(t.Context(), noon.Add(time.Duration(i)*time.Second)); (err != nil) != (o.deaf != nil) {
			t.Fatal(err)
		}
		received, deleted := counted(t, registry, "received_messages_total"), counted(t, registry, "deleted_messages_total")
		if received != want.received || deleted != want.deleted {
			t.Errorf("step %d: %v received and %v deleted, want %+v", i, received, deleted, want)
		}
		o.deaf = nil
	}
}

// counted is the value of a counter of one series.
func counted(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "karpenter_interruption_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// TestRecoveredBeforeItWasWritten: a machine that recovers before the condition is written leaves nothing
// behind: a deadline alone would end the pods of a later drain at once.
func TestRecoveredBeforeItWasWritten(t *testing.T) {
	c, o := rig(func(*v1.NodeClaim) {})
	o.refusesStatus = errors.New("no connection")
	o.waiting = []cloudprovider.Notice{{Kind: cloudprovider.SystemStatus, Instance: "i-1", Urge: cloudprovider.Force}}
	if _, err := c.Step(t.Context(), noon); err == nil {
		t.Fatal("no error")
	}
	claim, _ := c.Cluster.Snapshot().NodeClaims.Get("one")
	if len(claim.Annotations) > 0 {
		t.Errorf("left are %v", claim.Annotations)
	}
}
