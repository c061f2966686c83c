package crd_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// TestAccepted creates each accepted manifest, status included, and reads it
// back. Nothing that was said is lost, the Go types lose nothing either, and
// what was added is what SetDefaults adds.
func TestAccepted(t *testing.T) {
	cp, c := serve(t)
	for _, k := range kinds(t) {
		for i, row := range k.table.Accepted {
			t.Run(k.name+"/"+row.Name, func(t *testing.T) {
				said := k.object(t, fmt.Sprintf("accepted-%d", i), row.Object)
				got := create(t, c, said)
				if lost := missing("", said.Object, got.Object); len(lost) > 0 {
					t.Errorf("not as it was said: %s", strings.Join(lost, ", "))
				}
				checkTypes(t, said, got)
			})
		}
	}
	t.Run("scale", func(t *testing.T) {
		out, err := cp.Kubectl(t.Context(), "scale", "--replicas=7", "nodepools/accepted-2")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err = cp.Kubectl(t.Context(), "get", "nodepool", "accepted-2", "-o", "jsonpath={.spec.replicas}")
		if err != nil || out != "7" {
			t.Errorf("replicas %q after scaling to 7: %v", out, err)
		}
	})
	t.Run("columns", func(t *testing.T) {
		for _, list := range []struct{ name, row string }{
			{"nodepools", "accepted-1 default 3 True"},
			{"overlays", "accepted-2 "},
			{"nodeclaims", "accepted-1 ip-10-0-0-1.ec2.internal"},
			{"ec2ncs", "accepted-1 True"},
			{"ec2nc", "accepted-1 True"},
			{"cb", "accepted-1 buffer.x-k8s.io/active-capacity web 3 ReadyForProvisioning True Resolved"},
			{"autoscaling", "accepted-1 buffer.x-k8s.io/active-capacity web 3"},
			{"karpenter", "nodepool.karpenter.sh/accepted-1 default 3 True"},
		} {
			out, err := cp.Kubectl(t.Context(), "get", list.name)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			starts := func(line string) bool { return strings.HasPrefix(strings.Join(strings.Fields(line), " "), list.row) }
			if !slices.ContainsFunc(strings.Split(out, "\n"), starts) {
				t.Errorf("kubectl get %s has no row %q:\n%s", list.name, list.row, out)
			}
		}
	})
}

// create makes an object and then its status, and returns what the server has.
func create(t *testing.T, c client.Client, said *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	got := said.DeepCopy()
	if err := c.Create(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if status, ok := said.Object["status"]; ok {
		got.Object["status"] = runtime.DeepCopyJSONValue(status)
		if err := c.Status().Update(t.Context(), got); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(said), got); err != nil {
		t.Fatal(err)
	}
	return got
}

// missing lists the paths at which got has not the value of said.
func missing(path string, said, got any) (paths []string) {
	switch said := said.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return []string{path}
		}
		for key := range said {
			paths = append(paths, missing(path+"."+key, said[key], m[key])...)
		}
		slices.Sort(paths)
	case []any:
		l, ok := got.([]any)
		if !ok || len(l) != len(said) {
			return []string{path}
		}
		for i := range said {
			paths = append(paths, missing(fmt.Sprintf("%s[%d]", path, i), said[i], l[i])...)
		}
	default:
		if !cmp.Equal(said, got) {
			return []string{fmt.Sprintf("%s: %v is %v", path, said, got)}
		}
	}
	return paths
}

// checkTypes reads got into its Go type and writes it back, and compares it with
// what was said, read from a file and defaulted.
func checkTypes(t *testing.T, said, got *unstructured.Unstructured) {
	t.Helper()
	fresh := map[string]func() client.Object{
		"NodePool":       func() client.Object { return &v1.NodePool{} },
		"NodeClaim":      func() client.Object { return &v1.NodeClaim{} },
		"NodeOverlay":    func() client.Object { return &v1alpha1.NodeOverlay{} },
		"CapacityBuffer": func() client.Object { return &v1beta1.CapacityBuffer{} },
		"EC2NodeClass":   func() client.Object { return &awsv1.EC2NodeClass{} },
	}[said.GetKind()]
	read := func(u *unstructured.Unstructured) client.Object {
		object := fresh()
		data, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, object); err != nil {
			t.Fatal(err)
		}
		return object
	}
	write := func(object any) (m map[string]any) {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	onServer := read(got)
	if diff := cmp.Diff(write(got.Object), write(onServer)); diff != "" {
		t.Errorf("-on the server +through the Go type:\n%s", diff)
	}
	fromFile := read(said)
	if o, ok := fromFile.(interface{ SetDefaults() }); ok { // a NodeOverlay has none
		o.SetDefaults()
	}
	a, b := write(fromFile), write(onServer)
	delete(a, "metadata")
	delete(b, "metadata")
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("-SetDefaults of the file +defaults of the server:\n%s", diff)
	}
}
