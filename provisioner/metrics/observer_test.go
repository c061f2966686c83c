package metrics_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestAPodOnItsWay follows one pod from its creation to its first readiness.
func TestAPodOnItsWay(t *testing.T) {
	r := newRig(t)
	p := pod("p")
	waiting := []*corev1.Pod{p}
	r.see(node("n", nil), p)

	r.now = noon.Add(2 * time.Second)
	r.observer.Waits(r.now, waiting)
	r.now = noon.Add(5 * time.Second)
	r.observer.Waits(r.now, waiting) // again is nothing new
	r.shows(`
		karpenter_pods_provisioning_scheduling_undecided_time_seconds{name="p",namespace="default"} 3
		karpenter_pods_unbound_time_seconds{dynamic_resources="false",name="p",namespace="default"} 5
		karpenter_pods_unstarted_time_seconds{name="p",namespace="default"} 5`, "karpenter_pods_un", "karpenter_pods_provisioning_sch", "karpenter_pods_provisioning_un")

	r.observer.Unplaced(r.now, waiting)
	r.now = noon.Add(10 * time.Second)
	r.observer.Placed(r.now, waiting)
	r.now = noon.Add(11 * time.Second)
	r.observer.Placed(r.now, waiting) // elsewhere: the first decision counts
	r.now = noon.Add(14 * time.Second)
	r.shows(`
		karpenter_pods_provisioning_unbound_time_seconds{dynamic_resources="false",name="p",namespace="default"} 4
		karpenter_pods_provisioning_unstarted_time_seconds{name="p",namespace="default"} 4
		karpenter_pods_scheduling_decision_duration_seconds_count 1
		karpenter_pods_scheduling_decision_duration_seconds_sum 3`, "karpenter_pods_scheduling", "karpenter_pods_provisioning_sch", "karpenter_pods_provisioning_un")

	r.now = noon.Add(40 * time.Second)
	r.see(pod("p", on("n", 39*time.Second)))
	r.shows(`
		karpenter_pods_bound_duration_seconds_count{dynamic_resources="false"} 1
		karpenter_pods_bound_duration_seconds_sum{dynamic_resources="false"} 39
		karpenter_pods_provisioning_bound_duration_seconds_count{dynamic_resources="false"} 1
		karpenter_pods_provisioning_bound_duration_seconds_sum{dynamic_resources="false"} 30
		karpenter_pods_provisioning_unstarted_time_seconds{name="p",namespace="default"} 30
		karpenter_pods_unstarted_time_seconds{name="p",namespace="default"} 40`, "karpenter_pods_bound", "karpenter_pods_un", "karpenter_pods_provisioning_bound", "karpenter_pods_provisioning_un")

	runs := pod("p", on("n", 39*time.Second), func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
	r.see(runs)
	if got := r.scrape("karpenter_pods_unstarted"); !strings.Contains(got, "40") {
		t.Errorf("a pod that runs and was not ready yet has started: %q", got)
	}
	r.now = noon.Add(50 * time.Second)
	r.see(pod("p", on("n", 39*time.Second), ready(50*time.Second)))
	want := `
		karpenter_pods_provisioning_startup_duration_seconds_count 1
		karpenter_pods_provisioning_startup_duration_seconds_sum 40
		karpenter_pods_startup_duration_seconds_count 1
		karpenter_pods_startup_duration_seconds_sum 50`
	r.shows(want, "karpenter_pods_startup", "karpenter_pods_provisioning_startup", "karpenter_pods_un")
	// It is not ready for a while, and again: that is no second start.
	r.see(runs, pod("p", on("n", 39*time.Second), ready(60*time.Second)))
	r.shows(want, "karpenter_pods_startup", "karpenter_pods_provisioning_startup", "karpenter_pods_un")
}

// TestPodsThatNeverArrive are not measured, and not remembered.
func TestPodsThatNeverArrive(t *testing.T) {
	for name, end := range map[string]func(r *rig, p *corev1.Pod){
		"deleted": func(r *rig, p *corev1.Pod) { r.gone(p) },
		"failed": func(r *rig, p *corev1.Pod) {
			r.see(pod(p.Name, on("n", time.Second), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := pod("p")
			r.see(p)
			r.observer.Waits(r.now, []*corev1.Pod{p})
			end(r, p)
			// What comes late finds nobody.
			r.observer.Placed(r.now, []*corev1.Pod{p})
			r.observer.Waits(r.now, []*corev1.Pod{p})
			if got := r.scrape("karpenter_pods_un", "karpenter_pods_provisioning_un", "karpenter_pods_provisioning_sch", "karpenter_pods_bound"); got != "" {
				t.Errorf("still:\n%s", got)
			}
			r.shows(`karpenter_pods_startup_duration_seconds_count 0
				karpenter_pods_startup_duration_seconds_sum 0`, "karpenter_pods_startup")
		})
	}
}

// TestTransitions: what was there at first sight is none; what Ready of that kind
// depends on was Unknown from the beginning; of the rest only changes are timed.
func TestTransitions(t *testing.T) {
	r := newRig(t)
	const prefix = "operator_nodeclaim_status_condition_transition"
	c := claim("a", "web")
	set(&c.Status.Conditions, v1.ConditionDrifted, metav1.ConditionTrue, 0)
	r.see(c)
	r.shows("", prefix)
	set(&c.Status.Conditions, v1.ConditionLaunched, metav1.ConditionTrue, 3*time.Second)
	set(&c.Status.Conditions, v1.ConditionConsolidatable, metav1.ConditionTrue, 4*time.Second)
	r.see(c)
	r.see(c) // nothing new
	set(&c.Status.Conditions, v1.ConditionLaunched, metav1.ConditionFalse, 10*time.Second)
	r.see(c)
	const own = `cloud_example_testnodeclass="default",karpenter_sh_nodepool="web"`
	r.shows(`
		`+prefix+`s_total{`+own+`,reason="Launched",status="False",type="Launched"} 1
		`+prefix+`s_total{`+own+`,reason="Launched",status="True",type="Launched"} 1
		`+prefix+`s_total{`+own+`,reason="Consolidatable",status="True",type="Consolidatable"} 1
		`+prefix+`_seconds_count{`+own+`,status="Unknown",to_status="True",type="Launched"} 1
		`+prefix+`_seconds_sum{`+own+`,status="Unknown",to_status="True",type="Launched"} 3
		`+prefix+`_seconds_count{`+own+`,status="True",to_status="False",type="Launched"} 1
		`+prefix+`_seconds_sum{`+own+`,status="True",to_status="False",type="Launched"} 7`, prefix)

	nodeClass := &class{}
	nodeClass.Name, nodeClass.UID, nodeClass.CreationTimestamp = "default", "class", metav1.NewTime(noon)
	r.see(nodeClass)
	set(&nodeClass.conditions, v1.ConditionReady, metav1.ConditionTrue, time.Minute)
	set(&nodeClass.conditions, "KeelLaid", metav1.ConditionTrue, 40*time.Second)
	set(&nodeClass.conditions, v1.ConditionLaunched, metav1.ConditionTrue, time.Second) // is a NodeClaim's
	r.see(nodeClass)
	r.shows(`
		operator_testnodeclass_status_condition_transition_seconds_count{status="Unknown",to_status="True",type="KeelLaid"} 1
		operator_testnodeclass_status_condition_transition_seconds_sum{status="Unknown",to_status="True",type="KeelLaid"} 40
		operator_testnodeclass_status_condition_transitions_total{reason="KeelLaid",status="True",type="KeelLaid"} 1
		operator_testnodeclass_status_condition_transitions_total{reason="Launched",status="True",type="Launched"} 1
		operator_testnodeclass_status_condition_transition_seconds_count{status="Unknown",to_status="True",type="Ready"} 1
		operator_testnodeclass_status_condition_transition_seconds_sum{status="Unknown",to_status="True",type="Ready"} 60
		operator_testnodeclass_status_condition_transitions_total{reason="Ready",status="True",type="Ready"} 1`, "operator_testnodeclass_status_condition_transition")
}

// TestTerminations are measured from the deletion, once, if there was one.
func TestTerminations(t *testing.T) {
	r := newRig(t)
	c, n, pool, other := claim("a", "web"), node("a", nil), nodePool("web"), nodePool("other")
	r.see(c, n, pool, other)
	at := metav1.NewTime(noon)
	c.DeletionTimestamp, n.DeletionTimestamp, pool.DeletionTimestamp = &at, &at, &at
	r.now = noon.Add(7 * time.Second)
	r.gone(c)
	r.gone(c) // a second time is nothing
	r.gone(n)
	r.gone(pool)
	r.gone(other)
	const nobodys = `cloud_example_testnodeclass="",karpenter_sh_initialized="",karpenter_sh_nodepool=""`
	r.shows(`
		operator_node_termination_duration_seconds_count{`+nobodys+`} 1
		operator_node_termination_duration_seconds_sum{`+nobodys+`} 7
		operator_nodeclaim_termination_duration_seconds_count{cloud_example_testnodeclass="default",karpenter_sh_nodepool="web"} 1
		operator_nodeclaim_termination_duration_seconds_sum{cloud_example_testnodeclass="default",karpenter_sh_nodepool="web"} 7
		operator_nodepool_termination_duration_seconds_count 1
		operator_nodepool_termination_duration_seconds_sum 7`, "operator_node_term", "operator_nodeclaim_term", "operator_nodepool_term")
}

// TestScrapesWhileItChanges: the race detector does the judging, and every scrape is
// without an error.
func TestScrapesWhileItChanges(t *testing.T) {
	r := newRig(t)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := r.Gather(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		c, p := claim("a", "web"), pod("p")
		if i%3 == 1 {
			set(&c.Status.Conditions, v1.ConditionReady, metav1.ConditionTrue, 0)
			p = pod("p", on("a", 0))
		}
		r.see(c, p, node("a", nil), nodePool("web"))
		r.observer.Waits(noon, []*corev1.Pod{p})
		r.observer.Placed(noon, []*corev1.Pod{p})
		if i%3 == 2 {
			r.gone(c)
			r.gone(p)
		}
	}
	close(stop)
	group.Wait()
}
