package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// A scene is what one test has to itself. Its name is that of its namespace and of
// its EC2NodeClass, and begins those of its NodePools.
type scene struct {
	*testing.T
	name  string
	pools []string
}

// newScene makes the namespace and the EC2NodeClass. When the test ends, the scene
// must be able to go without leaving anything.
func newScene(t *testing.T, name string, with class) *scene {
	t.Helper()
	s := &scene{T: t, name: name}
	t.Cleanup(s.end)
	s.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	s.class(with)
	return s
}

// ctx outlives the test, since its end has work to do.
func (s *scene) ctx() context.Context { return context.Background() }

// must ends the test on an error.
func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// apply applies one object, as kubectl apply --server-side does.
func (s *scene) apply(manifest string) {
	s.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &u.Object); err != nil {
		s.Fatalf("reading a manifest: %v\n%s", err, manifest)
	}
	s.must(here.Client.Apply(s.ctx(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("e2e"), client.ForceOwnership))
}

// class applies the scene's EC2NodeClass.
func (s *scene) class(c class) {
	s.Helper()
	c.Scene = s.name
	s.apply(render(s.T, "class", c))
}

// pool applies a NodePool. Its name is the scene's if it has none, and else begins
// with it.
func (s *scene) pool(p pool) {
	s.Helper()
	p.Scene, p.Name = s.name, s.poolName(p.Name)
	s.apply(render(s.T, "pool", p))
	if !slices.Contains(s.pools, p.Name) {
		s.pools = append(s.pools, p.Name)
	}
}

// poolsReady waits until all NodePools of the scene are: until then the lighter one may
// serve who was meant for the heavier.
func (s *scene) poolsReady() {
	s.Helper()
	eventually(s.T, "the NodePools are ready", func() error {
		for _, name := range s.pools {
			var p v1.NodePool
			if err := here.Client.Get(s.ctx(), client.ObjectKey{Name: name}, &p); err != nil {
				return err
			}
			if !v1.IsTrue(p.Status.Conditions, v1.ConditionReady) {
				return fmt.Errorf("NodePool %s is not ready: %v", name, p.Status.Conditions)
			}
		}
		return nil
	})
}

func (s *scene) poolName(name string) string {
	return strings.TrimSuffix(s.name+"-"+name, "-")
}

// deploy applies a Deployment.
func (s *scene) deploy(p pods) {
	s.Helper()
	p.Scene = s.name
	s.apply(render(s.T, "pods", p))
}

// pods are those of one Deployment, or all when name is empty.
func (s *scene) pods(name string) []corev1.Pod {
	s.Helper()
	var list corev1.PodList
	options := []client.ListOption{client.InNamespace(s.name)}
	if name != "" {
		options = append(options, client.MatchingLabels{"app": name})
	}
	s.must(here.Client.List(s.ctx(), &list, options...))
	return list.Items
}

// nodes are those that the scene's instances joined as, and those that carry its
// label, by name.
func (s *scene) nodes() map[string]corev1.Node {
	s.Helper()
	var list corev1.NodeList
	s.must(here.Client.List(s.ctx(), &list))
	instances := s.instances()
	found := map[string]corev1.Node{}
	for _, n := range list.Items {
		ours := slices.ContainsFunc(instances, func(i ec2sim.Instance) bool { return strings.HasSuffix(n.Spec.ProviderID, "/"+i.ID) })
		if ours || n.Labels["stowage.example/scene"] == s.name {
			found[n.Name] = n
		}
	}
	return found
}

// claims are the NodeClaims of a NodePool, or of all of the scene's when name is
// "*".
func (s *scene) claims(name string) []v1.NodeClaim {
	s.Helper()
	var list v1.NodeClaimList
	s.must(here.Client.List(s.ctx(), &list))
	return slices.DeleteFunc(list.Items, func(c v1.NodeClaim) bool { return !s.of(name, c.Labels[v1.LabelNodePool]) })
}

// instances are all that were ever launched for the scene.
func (s *scene) instances() []ec2sim.Instance { return s.bought("*") }

// bought are all instances that were ever launched for a NodePool.
func (s *scene) bought(name string) []ec2sim.Instance {
	return slices.DeleteFunc(here.EC2.Instances(), func(i ec2sim.Instance) bool { return !s.of(name, i.Tags[v1.LabelNodePool]) })
}

// of reports whether a NodePool is the one of the name, or any of the scene's.
func (s *scene) of(name, pool string) bool {
	if name == "*" {
		return slices.Contains(s.pools, pool)
	}
	return pool == s.poolName(name)
}

// running waits until a Deployment has so many pods, all of them running, and
// returns them.
func (s *scene) running(name string, count int) []corev1.Pod {
	s.Helper()
	var found []corev1.Pod
	eventually(s.T, fmt.Sprintf("%d pods of %s/%s run", count, s.name, name), func() error {
		found = s.pods(name)
		var waiting []string
		for _, p := range found {
			if p.Spec.NodeName == "" || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
				waiting = append(waiting, p.Name)
				s.nudge(&p)
			}
		}
		if len(found) != count || len(waiting) > 0 {
			return fmt.Errorf("there are %d, of which these do not run: %s", len(found), strings.Join(waiting, " "))
		}
		return nil
	})
	return found
}

// nudge touches a pod that has been bound for a while and does not run: kwok misses one now and then that is bound just as
// its node comes, and looks at it again when it changes.
func (s *scene) nudge(p *corev1.Pod) {
	s.Helper()
	const touched = "stowage.example/touched"
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && time.Since(c.LastTransitionTime.Time) > 30*time.Second && p.Annotations[touched] == "" {
			patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+touched+`":"true"}}}`))
			s.must(client.IgnoreNotFound(here.Client.Patch(s.ctx(), p, patch)))
		}
	}
}

// hosts are the nodes of pods, each once.
func (s *scene) hosts(pods []corev1.Pod) []corev1.Node {
	s.Helper()
	all := s.nodes()
	var names []string
	for _, p := range pods {
		names = append(names, p.Spec.NodeName)
	}
	slices.Sort(names)
	var found []corev1.Node
	for _, name := range slices.Compact(names) {
		node, ok := all[name]
		if !ok {
			s.Fatalf("a pod of %s is on node %s, which is not of this scene", s.name, name)
		}
		found = append(found, node)
	}
	return found
}

// told waits for an event about an object that contains the words.
func (s *scene) told(kind, name, reason, words string) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("%s %s is told %s: …%s…", kind, name, reason, words), func() error {
		var list corev1.EventList
		s.must(here.Client.List(s.ctx(), &list, client.MatchingFields{"involvedObject.kind": kind, "reason": reason}))
		var others []string
		for _, e := range list.Items {
			// NodeClaims have names that only their pool's prefix says.
			elsewhere := e.InvolvedObject.Namespace != "" && e.InvolvedObject.Namespace != s.name
			if elsewhere || !strings.HasPrefix(e.InvolvedObject.Name, name) || e.Source.Component != "karpenter" {
				continue
			}
			if strings.Contains(e.Message, words) {
				return nil
			}
			others = append(others, e.Message)
		}
		return fmt.Errorf("events of the reason are: %q", others)
	})
}

// condition returns a condition of an object that has them, or an empty one.
func condition(conditions []metav1.Condition, kind string) metav1.Condition {
	if c := v1.GetCondition(conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// nodePool reads a NodePool.
func (s *scene) nodePool(name string) *v1.NodePool {
	s.Helper()
	p := &v1.NodePool{}
	s.must(here.Client.Get(s.ctx(), client.ObjectKey{Name: s.poolName(name)}, p))
	return p
}

// nodeClass reads the scene's EC2NodeClass.
func (s *scene) nodeClass() *awsv1.EC2NodeClass {
	s.Helper()
	c := &awsv1.EC2NodeClass{}
	s.must(here.Client.Get(s.ctx(), client.ObjectKey{Name: s.name}, c))
	return c
}

// end takes the scene away, workload first, and asserts that nothing is left of it.
// After a failure it takes away without looking, so that other scenes go on.
func (s *scene) end() {
	failed := s.Failed()
	if failed {
		s.Log(s.picture())
	}
	everything := []error{here.Client.DeleteAllOf(s.ctx(), &appsv1.Deployment{}, client.InNamespace(s.name))}
	for _, p := range s.pools {
		everything = append(everything, s.delete(&v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: p}}))
	}
	class := &awsv1.EC2NodeClass{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
	if !failed {
		eventually(s.T, "nothing is left of scene "+s.name, s.left)
	}
	everything = append(everything, s.delete(class))
	if !failed {
		eventually(s.T, "the EC2NodeClass is gone", func() error {
			err := here.Client.Get(s.ctx(), client.ObjectKeyFromObject(class), class)
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(err, fmt.Errorf("its finalizers are %v", class.Finalizers))
		})
	}
	everything = append(everything, s.delete(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name}}))
	if err := errors.Join(everything...); err != nil {
		s.Error(err)
	}
}

// delete deletes an object that may be gone already.
func (s *scene) delete(o client.Object) error {
	return client.IgnoreNotFound(here.Client.Delete(s.ctx(), o))
}

// left says what is left of the scene: NodeClaims, nodes, instances.
func (s *scene) left() error {
	var found []error
	for _, c := range s.claims("*") {
		found = append(found, fmt.Errorf("NodeClaim %s, finalizers %v, conditions %v", c.Name, c.Finalizers, c.Status.Conditions))
	}
	for name, n := range s.nodes() {
		if n.Labels["stowage.example/unmanaged"] == "" {
			found = append(found, fmt.Errorf("node %s, finalizers %v", name, n.Finalizers))
		}
	}
	for _, i := range s.instances() {
		if i.State != ec2sim.Terminated {
			found = append(found, fmt.Errorf("instance %s is %s", i.ID, i.State))
		}
	}
	return errors.Join(found...)
}

// picture is what a person would look at after a failure.
func (s *scene) picture() string {
	var b strings.Builder
	for _, args := range [][]string{
		{"get", "nodepools,ec2nodeclasses,nodeclaims,nodes", "-o", "wide"},
		{"get", "pods", "-o", "wide", "-n", s.name},
		{"get", "events", "-A"},
	} {
		out, err := here.Kubectl(s.ctx(), args...)
		fmt.Fprintf(&b, "$ kubectl %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	for _, i := range s.instances() {
		fmt.Fprintf(&b, "console of %s (%s, %s):\n%s\n", i.ID, i.Offering, i.State, here.EC2.ConsoleLog(i.ID))
	}
	return b.String() + logTail()
}

// nothingLeft asserts that no test so far left anything behind, whoever it
// belonged to.
func nothingLeft(t *testing.T) {
	t.Helper()
	var claims v1.NodeClaimList
	var nodes corev1.NodeList
	if err := errors.Join(here.Client.List(context.Background(), &claims), here.Client.List(context.Background(), &nodes)); err != nil {
		t.Fatal(err)
	}
	for _, c := range claims.Items {
		t.Errorf("NodeClaim %s is left", c.Name)
	}
	for _, n := range nodes.Items {
		t.Errorf("node %s is left", n.Name)
	}
	for _, i := range here.EC2.Alive() {
		t.Errorf("instance %s is left, with tags %v", i.ID, i.Tags)
	}
	if left := here.EC2.Templates(); len(left) > 0 {
		t.Errorf("launch templates are left: %v", left)
	}
	if left := here.EC2.InstanceProfiles(); len(left) != here.profiles {
		t.Errorf("instance profiles are left: %v", left)
	}
}
