package nodeclass

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// claim stands for a NodeClaim, of which this package knows the metadata only; a
// class is an object that the test's API server has.
func claim(name string) *v1.EC2NodeClass {
	return &v1.EC2NodeClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// TestClaimsAreStamped: those whose hash is of another version get the class's own,
// once they are launched and unless they have drifted.
func TestClaimsAreStamped(t *testing.T) {
	w := newWorld(t, goodSpec())
	theirs := map[string]string{v1.AnnotationHash: "123", v1.AnnotationHashVersion: "v6", "kept": "yes"}
	ours := map[string]string{v1.AnnotationHash: "456", v1.AnnotationHashVersion: v1.HashVersion}
	deleted := claim("deleted")
	deleted.Finalizers, deleted.DeletionTimestamp = []string{"x/y"}, &metav1.Time{Time: noon}
	for _, c := range []struct {
		Claim
		annotations map[string]string
	}{
		{Claim{claim("taken-over"), true, false}, theirs},
		{Claim{claim("never-stamped"), true, false}, nil},
		{Claim{claim("drifted"), true, true}, theirs},
		{Claim{claim("not-launched"), false, false}, nil},
		{Claim{claim("ours"), true, false}, ours},
		{Claim{deleted, true, false}, theirs},
		{Claim{claim("gone"), true, false}, theirs},
	} {
		c.SetAnnotations(c.annotations)
		if c.GetName() != "gone" && c.GetName() != "deleted" {
			if err := w.api.Create(t.Context(), c.Object); err != nil {
				t.Fatal(err)
			}
		}
		w.claims = append(w.claims, c.Claim)
	}
	w.step(0)
	hash := w.class().Hash()
	for name, want := range map[string][2]string{
		"taken-over": {hash, v1.HashVersion}, "never-stamped": {hash, v1.HashVersion}, "drifted": {"123", v1.HashVersion},
		"not-launched": {"", ""}, "ours": {"456", v1.HashVersion},
	} {
		var got v1.EC2NodeClass
		if err := w.api.Get(t.Context(), client.ObjectKey{Name: name}, &got); err != nil {
			t.Fatal(err)
		}
		if a := got.Annotations; a[v1.AnnotationHash] != want[0] || a[v1.AnnotationHashVersion] != want[1] || name == "taken-over" && a["kept"] != "yes" {
			t.Errorf("%s: annotations %v, want %v", name, a, want)
		}
	}
}

// TestStampThatFails holds up neither the others nor the class.
func TestStampThatFails(t *testing.T) {
	w := newWorld(t, goodSpec())
	w.claims = []Claim{{claim("one"), true, false}, {claim("two"), true, false}}
	for _, c := range w.claims {
		if err := w.api.Create(t.Context(), c.Object); err != nil {
			t.Fatal(err)
		}
	}
	w.refuse = "one"
	if _, err := w.Reconcile(t.Context(), w.now.Add(time.Second), "default"); !errors.Is(err, errRefused) {
		t.Fatalf("the error is %v", err)
	}
	var two v1.EC2NodeClass
	if err := w.api.Get(t.Context(), client.ObjectKey{Name: "two"}, &two); err != nil {
		t.Fatal(err)
	}
	if two.Annotations[v1.AnnotationHashVersion] != v1.HashVersion || !w.class().IsReady() {
		t.Errorf("after a refused stamp: annotations %v, status %v", two.Annotations, status(w.class()))
	}
}
