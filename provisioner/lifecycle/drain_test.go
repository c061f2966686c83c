package lifecycle

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestGrace: when a pod is told to go, and how long it has then.
func TestGrace(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline time.Duration // from noon; 0 is never
		own      int64         // grace period of the pod, in seconds
		leaves   time.Duration // when it has to be gone that was told by others; 0 is a pod that nobody told
		want     int64         // seconds; 0 is not told
	}{
		{name: "no deadline", own: 30},
		{name: "too early", deadline: 31 * time.Second, own: 30},
		{name: "just in time", deadline: 30 * time.Second, own: 30, want: 30},
		{name: "late", deadline: 12500 * time.Millisecond, own: 30, want: 12},
		{name: "hardly any time", deadline: 10 * time.Millisecond, own: 30, want: 1},
		{name: "past the deadline", deadline: -time.Hour, own: 30, want: 1},
		{name: "no grace of its own", deadline: time.Second, own: 0},
		{name: "no grace, at the deadline", deadline: -time.Millisecond, own: 0, want: 1},
		{name: "more grace than the node", deadline: time.Minute, own: 3600, want: 60},
		{name: "told by others, gone in time", deadline: 5 * time.Second, own: 30, leaves: 5 * time.Second},
		{name: "told by others, gone too late", deadline: 5 * time.Second, own: 30, leaves: 6 * time.Second, want: 1},
		{name: "told by others, too early to cut", deadline: time.Minute, own: 30, leaves: time.Hour},
		{name: "told by others, no deadline", own: 30, leaves: time.Hour},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &c.own}}
		if c.leaves != 0 {
			pod.DeletionTimestamp = &metav1.Time{Time: noon.Add(c.leaves)}
		}
		l := &leaving{}
		if c.deadline != 0 {
			l.deadline = noon.Add(c.deadline)
		}
		seconds, told := l.grace(noon, pod)
		if told != (c.want > 0) || told && seconds != c.want {
			t.Errorf("%s: told %v, with %d s; want %d", c.name, told, seconds, c.want)
		}
	}
}

// TestDeadline: of two, the earlier counts; what cannot be read forces nothing.
func TestDeadline(t *testing.T) {
	at := func(d time.Duration) string { return noon.Add(d).Format(time.RFC3339) }
	for _, c := range []struct {
		name, written string
		grace         v1.Duration
		deleted       bool
		want          time.Duration // after noon; 0 is never
	}{
		{name: "none", deleted: true},
		{name: "a grace period", grace: "5m", deleted: true, want: 5 * time.Minute},
		{name: "a grace period that has not begun", grace: "5m"},
		{name: "written", written: at(time.Hour), want: time.Hour},
		{name: "written, and nearer", written: at(time.Minute), grace: "5m", deleted: true, want: time.Minute},
		{name: "written, and farther", written: at(time.Hour), grace: "5m", deleted: true, want: 5 * time.Minute},
		{name: "written, and the grace period has not begun", written: at(time.Hour), grace: "5m", want: time.Hour},
		{name: "not to be read", written: "soon", grace: "5m", deleted: true},
	} {
		claim := &v1.NodeClaim{}
		claim.Spec.TerminationGracePeriod = c.grace
		if c.written != "" {
			claim.Annotations = map[string]string{v1.AnnotationTerminationTimestamp: c.written}
		}
		if c.deleted {
			claim.DeletionTimestamp = &metav1.Time{Time: noon}
		}
		if got, ok := Deadline(claim); ok != (c.want != 0) || ok && !got.Equal(noon.Add(c.want)) {
			t.Errorf("%s: %v %v, want %v", c.name, got, ok, c.want)
		}
	}
}

// TestEvictions: why a pod stays is known until it may be asked again; one that was asked may
// be told at once, and not asked because it was told.
func TestEvictions(t *testing.T) {
	var e evictions
	expect := func(after time.Duration, tell bool, why string, wait time.Duration) {
		t.Helper()
		if gotWhy, got := e.pending(noon.Add(after), "pod", tell); gotWhy != why || max(got, 0) != wait {
			t.Errorf("after %v it stays %v because of %q, want %v because of %q", after, got, gotWhy, wait, why)
		}
	}
	expect(0, false, "", 0)
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		if _, got := e.refused(noon, "pod", false, "budget"); got != want*time.Millisecond {
			t.Errorf("refused for %v, want %d ms", got, want)
		}
	}
	expect(9*time.Second, false, "budget", time.Second)
	expect(9*time.Second, true, "", 0)
	e.granted(noon.Add(9*time.Second), "pod", true)
	expect(12*time.Second, true, "", 7*time.Second)
	expect(12*time.Second, false, "", 7*time.Second)
	if _, got := e.refused(noon.Add(20*time.Second), "pod", true, "webhook"); got != firstWait {
		t.Errorf("refused for %v after it was granted", got)
	}
	if e.refused(noon.Add(time.Hour), "another", false, "budget"); len(e.wait) != 1 {
		t.Errorf("an hour later %d pods are remembered", len(e.wait))
	}
}

// TestConcerned: pods and volumes matter to the claim of their node once that is going.
func TestConcerned(t *testing.T) {
	cluster := state.New()
	for _, name := range []string{"stays", "goes"} {
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "claim-1"}}
		if claim.Status.ProviderID = "cloud:///" + name; name == "goes" {
			claim.DeletionTimestamp = &metav1.Time{Time: noon}
		}
		cluster.Observe(claim)
		cluster.Observe(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-" + name}, Spec: corev1.NodeSpec{ProviderID: "cloud:///" + name}})
	}
	for _, c := range []struct {
		obj  client.Object
		want []string
	}{
		{&v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "any"}}, []string{"any"}},
		{&corev1.Node{Spec: corev1.NodeSpec{ProviderID: "cloud:///stays"}}, []string{"stays"}},
		{&corev1.Node{Spec: corev1.NodeSpec{ProviderID: "cloud:///another"}}, nil},
		{&corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-stays"}}, nil},
		{&corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-goes"}}, []string{"goes"}},
		{&corev1.Pod{}, nil},
		{&storagev1.VolumeAttachment{Spec: storagev1.VolumeAttachmentSpec{NodeName: "node-stays"}}, nil},
		{&storagev1.VolumeAttachment{Spec: storagev1.VolumeAttachmentSpec{NodeName: "node-goes"}}, []string{"goes"}},
	} {
		if got := Concerned(cluster, c.obj); !slices.Equal(got, c.want) {
			t.Errorf("%T %+v concerns %v, want %v", c.obj, c.obj, got, c.want)
		}
	}
}
