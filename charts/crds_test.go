package charts_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/charts"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestCRDsAreUpToDate generates the CRDs again and compares.
func TestCRDsAreUpToDate(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./crdgen", dir).CombinedOutput(); err != nil {
		t.Fatalf("running crdgen: %v\n%s", err, out)
	}
	want, got := readAll(t, dir), readAll(t, "stowage/crds")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stowage/crds is not what the Go types say; run go generate ./charts (-generated +there):\n%s", diff)
	}
}

// TestDeepCopyIsUpToDate generates the deep copies of the types again and compares.
func TestDeepCopyIsUpToDate(t *testing.T) {
	for _, folder := range []string{"provisioner/v1", "provisioner/v1alpha1", "provisioner/v1beta1", "cloudprovider/aws/v1"} {
		const file = "zz_generated.deepcopy.go"
		dir := t.TempDir()
		cmd := exec.Command("go", "tool", "controller-gen", "object", "paths=./"+folder, "output:object:dir="+dir)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("running controller-gen: %v\n%s", err, out)
		}
		got, err := os.ReadFile(filepath.Join("..", folder, file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(readAll(t, dir)[file], string(got)); diff != "" {
			t.Errorf("run go generate ./%s (-generated +there):\n%s", folder, diff)
		}
	}
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// TestCRDsFlat compares the CRDs with a golden in which each field is one line
// with all that the API server checks of it, so that a change of the API shows
// as a line in review. go test ./charts -rewrite writes it anew.
func TestCRDsFlat(t *testing.T) {
	const golden = "testdata/crds.golden"
	var b strings.Builder
	for _, crd := range typedCRDs(t) {
		flattenCRD(&b, crd)
	}
	if *rewrite {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the API changed (-golden +now):\n%s", diff)
	}
}

func typedCRDs(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	objects, err := charts.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, u := range objects {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, crd, true); err != nil {
			t.Fatalf("%s: %v", u.GetName(), err)
		}
		all = append(all, crd)
	}
	return all
}

func flattenCRD(b *strings.Builder, crd *apiextensionsv1.CustomResourceDefinition) {
	n := crd.Spec.Names
	names := map[string]any{"kind": n.Kind, "listKind": n.ListKind, "plural": n.Plural, "singular": n.Singular, "categories": anys(n.Categories)}
	if len(n.ShortNames) > 0 {
		names["shortNames"] = anys(n.ShortNames)
	}
	fmt.Fprintf(b, "##### %s\nHEAD :: %s %s\n", crd.Name, literal(names), crd.Spec.Scope)
	for _, v := range crd.Spec.Versions {
		subresources := map[string]any{}
		if v.Subresources.Status != nil {
			subresources["status"] = map[string]any{}
		}
		if s := v.Subresources.Scale; s != nil {
			subresources["scale"] = map[string]any{"specReplicasPath": s.SpecReplicasPath, "statusReplicasPath": s.StatusReplicasPath}
		}
		var columns []string
		for _, c := range v.AdditionalPrinterColumns {
			columns = append(columns, fmt.Sprintf("(%s, %s, %d)", literal(c.Name), literal(c.JSONPath), c.Priority))
		}
		fmt.Fprintf(b, "VER :: %s served=%v storage=%v %s cols=[%s]\n", v.Name, title(v.Served), title(v.Storage), literal(subresources), strings.Join(columns, ", "))
		root := v.Schema.OpenAPIV3Schema
		delete(root.Properties, "apiVersion")
		delete(root.Properties, "kind")
		flatten(b, "", root, false)
	}
}

// flatten writes a line for the schema at path and then for those below it.
func flatten(b *strings.Builder, path string, s *apiextensionsv1.JSONSchemaProps, required bool) {
	fmt.Fprintf(b, "%s :: %s\n", path, describe(s, required))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		below := s.Properties[name]
		flatten(b, strings.TrimPrefix(path+"."+name, "."), &below, slices.Contains(s.Required, name))
	}
	if s.Items != nil {
		flatten(b, path+"[]", s.Items.Schema, false)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		flatten(b, path+"{}", s.AdditionalProperties.Schema, false)
	}
}

func describe(s *apiextensionsv1.JSONSchemaProps, required bool) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if required {
		add("req")
	}
	switch {
	case s.XIntOrString:
		add("int-or-string")
	case s.Type == "":
		add("?")
	default:
		add("%s", s.Type)
	}
	if s.Format != "" {
		add("format=%s", s.Format)
	}
	if s.Default != nil {
		add("default=%s", strings.Trim(literal(decodeJSON(s.Default)), "'"))
	}
	if s.Pattern != "" {
		add("pattern=%s", s.Pattern)
	}
	if s.Enum != nil {
		var values []any
		for _, e := range s.Enum {
			values = append(values, decodeJSON(&e))
		}
		add("enum=%s", literal(values))
	}
	if s.Minimum != nil {
		add("minimum=%v", int64(*s.Minimum))
	}
	if s.Maximum != nil {
		add("maximum=%v", int64(*s.Maximum))
	}
	for _, limit := range []struct {
		name  string
		value *int64
	}{
		{"minLength", s.MinLength}, {"maxLength", s.MaxLength}, {"minItems", s.MinItems}, {"maxItems", s.MaxItems},
		{"minProperties", s.MinProperties}, {"maxProperties", s.MaxProperties},
	} {
		if limit.value != nil {
			add("%s=%d", limit.name, *limit.value)
		}
	}
	for _, r := range s.XValidations {
		add("CEL{%s -> %s}", r.Rule, r.Message)
	}
	return strings.Join(words, " ")
}

func decodeJSON(j *apiextensionsv1.JSON) (v any) {
	if err := json.Unmarshal(j.Raw, &v); err != nil {
		panic(err)
	}
	return v
}

func anys(list []string) (all []any) {
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

func title(v bool) string {
	if v {
		return "True"
	}
	return "False"
}

// literal spells a decoded value with single quotes and sorted keys.
func literal(v any) string {
	var parts []string
	switch v := v.(type) {
	case string:
		return "'" + strings.ReplaceAll(v, `\`, `\\`) + "'"
	case []any:
		for _, e := range v {
			parts = append(parts, literal(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, literal(k)+": "+literal(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v)
	}
}
