package crd_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/charts"
)

// TestRoles applies the roles of the chart and asks, as the controller, for a few
// things that it may and may not do.
func TestRoles(t *testing.T) {
	cp, admin := serve(t)
	const namespace = "boats"
	objects := []client.Object{named("Namespace", "", namespace), named("ServiceAccount", namespace, charts.ServiceAccount)}
	roles, err := charts.RBAC(namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		objects = append(objects, role)
	}
	for _, object := range objects {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	user := "--as=system:serviceaccount:" + namespace + ":" + charts.ServiceAccount
	for question, want := range map[string]bool{
		"list pods -A":             true,
		"watch ec2nodeclasses":     true,
		"list leases -A":           true,
		"create leases -n boats":   true,
		"create leases -n default": false,
		"update leases/karpenter-leader-election -n boats":   true,
		"update leases/something-else -n boats":              false,
		"update leases/karpenter-leader-election -n default": false,
		"create nodeclaims":                                  true,
		"patch nodepools --subresource=status":               true,
		"patch pods --subresource=status -A":                 true,
		"create pods --subresource=eviction -A":              true,
		"delete nodes":                                       true,
		"create nodes":                                       false,
		"delete nodepools":                                   false,
		"update nodeclaims":                                  false,
		"patch pods -A":                                      false,
		"get secrets -A":                                     false,
		"list poddisruptionbudgets -A":                       true,
		"patch poddisruptionbudgets -A":                      false,
		"watch runtimeclasses":                               true,
		"watch persistentvolumes":                            true,
		"watch volumeattachments":                            true,
		"patch persistentvolumeclaims -A":                    false,
		"watch nodeoverlays":                                 true,
		"patch nodeoverlays --subresource=status":            true,
		"patch nodeoverlays":                                 false,
		"watch capacitybuffers -A":                           true,
		"patch capacitybuffers --subresource=status -A":      true,
		"patch capacitybuffers -A":                           false,
		"get podtemplates -A":                                true,
		"list podtemplates -A":                               false,
		"get deployments -A":                                 true,
		"list deployments -A":                                false,
		"list resourcequotas -A":                             true,
		"watch namespaces":                                   true,
		"watch services -A":                                  true,
		"watch replicasets -A":                               true,
		"patch replicasets -A":                               false,
		"patch namespaces":                                   false,
	} {
		out, _ := cp.Kubectl(t.Context(), append([]string{"auth", "can-i", user}, strings.Fields(question)...)...) // "no" is an error too
		answer := strings.HasPrefix(out, "yes")
		if !answer && !strings.Contains(out, "no") {
			t.Errorf("may the controller %s? %q", question, out)
		}
		if answer != want {
			t.Errorf("may the controller %s? %v, want %v", question, answer, want)
		}
	}
}

// named is an object of the core group that has no more than a name.
func named(kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}
