package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A planDocument is what a script reads of `stowage plan -o json`.
type planDocument struct {
	Nodes []struct {
		NodePool string
		planOffering
		Alternatives []planOffering
		Requests     corev1.ResourceList
		Pods         []string
	}
	Existing, Unschedulable []json.RawMessage
	CostPerHour             float64
}

type planOffering struct{ InstanceType, Zone, CapacityType string }

func (o planOffering) String() string { return o.InstanceType + "/" + o.Zone + "/" + o.CapacityType }

// bought writes down what would be bought, a line a node, sorted: the NodePool and
// every offering in order.
func (d *planDocument) bought() []string {
	var lines []string
	for _, n := range d.Nodes {
		line := n.NodePool + " " + n.planOffering.String()
		for _, o := range n.Alternatives {
			line += "," + o.String()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// cpu is what everything on the planned nodes asks for, in millicores.
func (d *planDocument) cpu() (milli int64) {
	for _, n := range d.Nodes {
		milli += n.Requests.Cpu().MilliValue()
	}
	return milli
}

// readerManifests let a user list what a plan depends on, and do nothing else.
var readerManifests = []string{`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: planner}
rules:
  - {apiGroups: [""], resources: [pods, nodes, namespaces, persistentvolumeclaims, persistentvolumes], verbs: [list]}
  - {apiGroups: [storage.k8s.io], resources: [storageclasses, csidrivers, csinodes, volumeattachments], verbs: [list]}
  - {apiGroups: [apps], resources: [daemonsets], verbs: [list]}
  - {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [list]}
  - {apiGroups: [scheduling.k8s.io], resources: [priorityclasses], verbs: [list]}
  - {apiGroups: [node.k8s.io], resources: [runtimeclasses], verbs: [list]}
  - {apiGroups: [karpenter.sh], resources: [nodepools, nodeclaims, nodeoverlays], verbs: [list]}
  - {apiGroups: [autoscaling.x-k8s.io], resources: [capacitybuffers], verbs: [list]}
  - {apiGroups: [karpenter.k8s.aws], resources: [ec2nodeclasses], verbs: [list]}
`, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: planner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: planner}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: planner}]
`}

// sandboxManifest makes each of its pods half a core heavier than its containers.
const sandboxManifest = `{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: sandbox}, handler: sandbox, overhead: {podFixed: {cpu: 500m}}}`

// TestPlan: what `stowage plan` says of a running cluster is what the controller
// then buys. It needs to list and nothing more, and leaves everything as it was.
func TestPlan(t *testing.T) {
	first := start(t)
	s := newScene(t, "plan", class{})
	eventually(t, "the EC2NodeClass is ready", func() error {
		if !s.nodeClass().IsReady() {
			return errors.New("it is not")
		}
		return nil
	})
	here.running.Store(nil)
	s.must(first.Stop())

	for _, manifest := range append([]string{sandboxManifest}, readerManifests...) {
		s.apply(manifest)
	}
	t.Cleanup(func() {
		planner := metav1.ObjectMeta{Name: "planner"}
		s.must(errors.Join(s.delete(&rbacv1.ClusterRoleBinding{ObjectMeta: planner}), s.delete(&rbacv1.ClusterRole{ObjectMeta: planner}),
			s.delete(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "sandbox"}})))
	})
	s.pool(pool{Types: "m5.large, m5.xlarge, c5.xlarge"})
	s.deploy(pods{Name: "small", Count: 9, CPU: "700m", Memory: "1Gi"})
	s.deploy(pods{Name: "large", Count: 2, CPU: "2500m", Memory: "4Gi"})
	s.deploy(pods{Name: "boxed", Count: 2, Sandbox: "sandbox"})
	s.unschedulable(13)

	user, err := here.ConfigFor("planner")
	s.must(err)
	kubeconfig, err := here.WriteKubeconfig("planner", user)
	s.must(err)
	before, calls := s.versions(), here.EC2.AllCalls()
	d := s.plan(kubeconfig)
	if len(d.Unschedulable) > 0 || len(d.Existing) > 0 || len(d.Nodes) == 0 {
		t.Errorf("%d nodes are planned, %s are unschedulable and %s go elsewhere", len(d.Nodes), d.Unschedulable, d.Existing)
	}

	// A workload that is not there yet weighs what the API server would make it.
	later := filepath.Join(t.TempDir(), "later.yaml")
	s.must(os.WriteFile(later, []byte(render(t, "pods", pods{Scene: s.name, Name: "later", Count: 3, Sandbox: "sandbox"})), 0o600))
	if more := s.plan(kubeconfig, "-f", later); more.cpu()-d.cpu() != 3*1500 {
		t.Errorf("3 pods of 1 core with half a core of overhead add %d millicores to a plan, want 4500", more.cpu()-d.cpu())
	}
	if after := s.versions(); !maps.Equal(after, before) {
		t.Errorf("the cluster was changed by a plan:\nbefore %v\nafter %v", before, after)
	}
	if after := here.EC2.AllCalls(); !maps.Equal(after, calls) {
		t.Errorf("AWS was asked for a plan:\nbefore %v\nafter %v", calls, after)
	}

	restart(t)
	// The first nodes are the plan's. Where kube-scheduler does not follow it, there are more
	// once these have opened, which is not what is looked at here.
	eventually(t, "the controller has bought what was planned", func() error {
		var got []string
		for _, c := range s.claims("") {
			got = append(got, c.Labels[v1.LabelNodePool]+" "+c.Annotations[v1.AnnotationOfferings])
		}
		slices.Sort(got)
		if want := d.bought(); !slices.Equal(got, want) {
			return fmt.Errorf("the plan was\n%s\nand the controller bought\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
		if planned, hourly := int64(math.Round(d.CostPerHour*1e6)), here.EC2.Hourly(); hourly != planned {
			return fmt.Errorf("an hour costs %d millionths of a dollar, and was planned to cost %d", hourly, planned)
		}
		return nil
	})
	for name, count := range map[string]int{"small": 9, "large": 2, "boxed": 2} {
		s.running(name, count)
	}
}

// plan runs the command against the cluster, without anything that AWS would want
// to know.
func (s *scene) plan(kubeconfig string, more ...string) *planDocument {
	s.Helper()
	args := append([]string{"plan", "--kubeconfig", kubeconfig, "--region", "us-west-2", "-o", "json"}, more...)
	cmd := exec.Command(here.executable, args...)
	cmd.Env = []string{"HOME=" + s.TempDir(), "PATH=" + os.Getenv("PATH")}
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Run(); err != nil {
		s.Fatalf("stowage %s: %v\n%s", strings.Join(args, " "), err, &notes)
	}
	if notes.Len() > 0 {
		s.Errorf("stowage %s notes: %s", strings.Join(args, " "), &notes)
	}
	d := &planDocument{}
	if err := json.Unmarshal(out.Bytes(), d); err != nil {
		s.Fatalf("reading the plan: %v\n%s", err, &out)
	}
	return d
}

// unschedulable waits until kube-scheduler has given up on so many pods.
func (s *scene) unschedulable(count int) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("%d pods are unschedulable", count), func() error {
		n := 0
		for _, p := range s.pods("") {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
					n++
				}
			}
		}
		if n != count {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// versions are those of every object that Stowage might write to, by kind and name.
func (s *scene) versions() map[string]string {
	s.Helper()
	found := map[string]string{}
	for _, k := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Node"},
		{Group: "karpenter.sh", Version: "v1", Kind: "NodePool"}, {Group: "karpenter.sh", Version: "v1", Kind: "NodeClaim"},
		{Group: "karpenter.k8s.aws", Version: "v1", Kind: "EC2NodeClass"},
	} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(k)
		s.must(here.Client.List(s.ctx(), list))
		for _, o := range list.Items {
			found[k.Kind+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
		}
	}
	return found
}
