package manifest

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// read reads one text under the name x.yaml.
func read(t *testing.T, text string) *Set {
	t.Helper()
	s, err := Read([]Source{{"x.yaml", []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// podYAML is a pod that lacks nothing.
func podYAML(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: c}]}\n"
}

func TestDocumentsBeginOnTheirLines(t *testing.T) {
	for _, test := range []struct {
		name, text string
		lines      []int
	}{
		{"one", "a: 1\n", []int{1}},
		{"comment before", "# why\n\na: 1\n", []int{3}},
		{"several", "a: 1\n---\nb: 2\n---\n# c\nc: 3", []int{1, 3, 6}},
		{"empty ones", "---\n---\n# nothing\n---\na: 1\n---\n", []int{5}},
		{"on the marker", "--- {a: 1}\n--- # said\nb: 2\n", []int{1, 3}},
		{"Windows", "a: 1\r\n---\r\nb: 2\r\n", []int{1, 3}},
		{"end marker", "a: 1\n...\n---\nb: 2\n", []int{1, 4}},
		{"no marker", "a: |\n  ---\n  text\nb: ---x\n", []int{1}},
		{"byte order mark", "\ufeffa: 1\n", []int{1}},
		{"JSON", "\n{\"a\": 1}\n\n{\"b\":\n 2}", []int{2, 4}},
		{"YAML in braces", "{a: 1}\n---\n{b: 2}\n", []int{1, 3}},
	} {
		docs, err := documents(Source{"x.yaml", []byte(test.text)})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var lines []int
		for _, d := range docs {
			lines = append(lines, d.at.Line)
		}
		if diff := cmp.Diff(test.lines, lines); diff != "" {
			t.Errorf("%s: lines (-want +got)\n%s", test.name, diff)
		}
	}
}

// TestBlame takes what JSON decoders leave unsaid: which field was not understood.
func TestBlame(t *testing.T) {
	for _, test := range []struct{ spec, want string }{
		{`{containers: [{name: c, resources: {limits: {memory: 1GB}}}]}`, `spec.containers[0].resources.limits.memory: "1GB" is not a quantity, such as 500m or 2Gi`},
		{`{containers: [{name: c, resources: {limits: {nvidia.com/gpu: one}}}]}`, `spec.containers[0].resources.limits[nvidia.com/gpu]: "one" is not a quantity, such as 500m or 2Gi`},
		{`{containers: {name: c}}`, `spec.containers: {"name":"c"} is not a list`},
		{`{containers: [{name: c, ports: [{containerPort: http}]}]}`, `spec.containers[0].ports[0].containerPort: "http" is not a whole number`},
		{`{containers: [{name: c}], nodeSelector: {fast: true}}`, `spec.nodeSelector.fast: true is not a string`},
		{`{containers: [{name: c}], hostNetwork: "yes"}`, `spec.hostNetwork: "yes" is neither true nor false`},
		{`[]`, `spec: [] is not an object`},
	} {
		_, err := Read([]Source{{"x.yaml", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: " + test.spec + "\n")}})
		if want := "x.yaml:1: Pod default/p: " + test.want; err == nil || err.Error() != want {
			t.Errorf("spec %s: error\n%v\nwant\n%s", test.spec, err, want)
		}
	}
}

// TestOrderOfDocumentsDoesNotMatter reads the same documents in many orders, over
// one or several files.
func TestOrderOfDocumentsDoesNotMatter(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("to repeat: seed %d in TestOrderOfDocumentsDoesNotMatter", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	docs := []string{
		podYAML("a"), podYAML("b"), podYAML("web-0"),
		"apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  selector: {matchLabels: {app: web}}\n" +
			"  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}\n",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 3\n  selector: {matchLabels: {app: db}}\n" +
			"  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: db}\nspec:\n  selector: {matchLabels: {app: dbp}}\n" +
			"  template: {metadata: {labels: {app: dbp}}, spec: {containers: [{name: c}]}}\n",
	}
	var first []client.Object
	for round := range 20 {
		random.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		cut := random.IntN(len(docs))
		s, err := Read([]Source{{"x.yaml", []byte(strings.Join(docs[:cut], "---\n"))}, {"y.yaml", []byte(strings.Join(docs[cut:], "---\n"))}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Expand(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			first = s.All()
			continue
		}
		if diff := cmp.Diff(first, s.All()); diff != "" {
			t.Fatalf("round %d differs from the first:\n%s", round, diff)
		}
	}
}

func TestMergeKeepsWhatTheSetReplaces(t *testing.T) {
	s := read(t, podYAML("a"))
	s.Merge([]client.Object{
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", UID: "1"}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default", UID: "2"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "default", UID: "3"}},
	})
	var got []string
	for _, o := range s.All() {
		got = append(got, fmt.Sprintf("%s %s", o.GetName(), o.GetUID()))
	}
	if diff := cmp.Diff([]string{"a manifest/Pod default/a", "b 2"}, got); diff != "" {
		t.Errorf("objects (-want +got)\n%s", diff)
	}
}

var thousands = regexp.MustCompile(`[0-9]{4}|[eExX.][0-9]`)

// FuzzRead looks for input that makes reading panic, or fail without saying
// where on one line.
func FuzzRead(f *testing.F) {
	f.Add([]byte(podYAML("a") + "---\n" + podYAML("b")))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{}]}}]"))
	f.Add([]byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"spec":{"parallelism":3,"template":{"spec":{"containers":[{}]}}}}`))
	f.Add([]byte("a: &a [*a]\n---\n? {b}\n: - |\n..."))
	f.Add([]byte("{\"a\":\n---\n}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if thousands.Match(data) {
			return // many pods are slow, but no fault
		}
		s, err := Read([]Source{{"x.yaml", data}})
		if err == nil {
			err = s.Expand()
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "x.yaml:") && !strings.HasPrefix(err.Error(), "there is no object")) {
			t.Errorf("error without a place on one line: %q", err)
		}
	})
}
