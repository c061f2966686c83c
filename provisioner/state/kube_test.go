package state

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// served returns a Writer to a server that answers every request with the same
// NodePool, and what it was sent.
func served(t *testing.T, answer string) (Writer, *[]string) {
	t.Helper()
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, r.Method+" "+r.URL.Path+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1.GroupVersion})
	mapper.Add(v1.GroupVersion.WithKind("NodePool"), meta.RESTScopeRoot)
	c, err := client.New(&rest.Config{Host: server.URL}, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return Kube(c), &requests
}

// TestPatchTakesTheAnswerWhole: what the server has no more is gone from the
// object after a patch, and what the patch says is all that is sent.
func TestPatchTakesTheAnswerWhole(t *testing.T) {
	w, requests := served(t, `{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{"name":"general","resourceVersion":"7","annotations":{"new":"1"}},"spec":{"template":{"spec":{"requirements":[],"nodeClassRef":{}}}}}`)
	before := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "general", ResourceVersion: "5", Annotations: map[string]string{"gone": "1"}}}
	after := before.DeepCopy()
	after.Annotations["new"] = "1"
	if err := w.Patch(t.Context(), after, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	if len(after.Annotations) != 1 || after.Annotations["new"] != "1" || after.ResourceVersion != "7" {
		t.Errorf("after the patch: version %s, annotations %v", after.ResourceVersion, after.Annotations)
	}
	if err := w.PatchStatus(t.Context(), after, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`PATCH /apis/karpenter.sh/v1/nodepools/general {"metadata":{"annotations":{"new":"1"}}}`,
		`PATCH /apis/karpenter.sh/v1/nodepools/general/status`,
	}
	if len(*requests) != 2 || (*requests)[0] != want[0] || (*requests)[1][:len(want[1])] != want[1] {
		t.Errorf("sent %q", *requests)
	}
}
