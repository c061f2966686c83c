package crd_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// walk calls visit for a schema and all below it, with their paths: [] stands for
// the items of a list, {} for the values of a map.
func walk(path string, s *apiextensionsv1.JSONSchemaProps, visit func(string, *apiextensionsv1.JSONSchemaProps)) {
	visit(path, s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		below := s.Properties[name]
		walk(strings.TrimPrefix(path+"."+name, "."), &below, visit)
	}
	if s.Items != nil {
		walk(path+"[]", s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		walk(path+"{}", s.AdditionalProperties.Schema, visit)
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// TestRules applies the refused rows, and counts which CEL rules they hit.
func TestRules(t *testing.T) {
	_, c := serve(t)
	for _, k := range kinds(t) {
		hit := map[string]bool{} // path and message of each cause
		for i, row := range k.table.Refused {
			t.Run(fmt.Sprintf("%s/%d", k.name, i), func(t *testing.T) {
				object := k.object(t, fmt.Sprintf("refused-%d", i), patched(t, k.table.Accepted[0].Object, row.Object))
				var err error
				if row.Then == nil {
					err = c.Create(t.Context(), object, client.DryRunAll)
				} else {
					if err := c.Create(t.Context(), object); err != nil {
						t.Fatal(err)
					}
					err = c.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", row.Then), client.DryRunAll)
				}
				found := causes(err)
				named := func(cause metav1.StatusCause) bool { return strings.HasSuffix(cause.Message, ": "+row.Message) }
				if !slices.ContainsFunc(found, named) && !(err != nil && strings.Contains(err.Error(), row.Message)) {
					t.Errorf("%s\nwant it refused with %q, got %v", row.Object, row.Message, err)
				}
				for _, cause := range found {
					hit[index.ReplaceAllString(cause.Field, "[]")+" "+cause.Message] = true
				}
			})
		}
		walk("", k.schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
			for _, rule := range s.XValidations {
				matches := func(cause string) bool {
					return strings.HasPrefix(cause, path+" ") && strings.HasSuffix(cause, ": "+rule.Message)
				}
				if !slices.ContainsFunc(slices.Collect(maps.Keys(hit)), matches) {
					t.Errorf("%s: no row is refused at %s with %q; rule %s", k.name, path, rule.Message, rule.Rule)
				}
			}
		})
	}
}
