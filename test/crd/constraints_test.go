package crd_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A breach is a value that a schema must refuse, and a part of the message that
// it is refused with.
type breach struct {
	value   any
	message string
}

// breaches lists one for each constraint of a schema, made from a value that the
// schema accepts. Patterns, and bounds of length, on anything but strings are
// passed over by the server, as by JSON Schema.
func breaches(s *apiextensionsv1.JSONSchemaProps, value any) (all []breach) {
	text := s.Type == "string" || s.XIntOrString
	if s.Pattern != "" && text {
		all = append(all, breach{mismatch(s.Pattern), "should match '" + s.Pattern + "'"})
	}
	if s.Enum != nil {
		all = append(all, breach{"NoneOfThese", "supported values"})
	}
	if s.Minimum != nil {
		all = append(all, breach{int64(*s.Minimum) - 1, "greater than or equal to"})
	}
	if s.Maximum != nil {
		all = append(all, breach{int64(*s.Maximum) + 1, "less than or equal to"})
	}
	if s.MinLength != nil && text && *s.MinLength > 0 {
		all = append(all, breach{"", "at least " + fmt.Sprint(*s.MinLength)})
	}
	if s.MaxLength != nil && text {
		all = append(all, breach{strings.Repeat("x", int(*s.MaxLength)+1), "may not be more than"})
	}
	if s.MinItems != nil && *s.MinItems > 0 {
		all = append(all, breach{[]any{}, "should have at least"})
	}
	if s.MaxItems != nil {
		items := slices.Repeat([]any{value.([]any)[0]}, int(*s.MaxItems)+1)
		all = append(all, breach{items, "must have at most"})
	}
	if s.MaxProperties != nil {
		entries := map[string]any{}
		for i := range *s.MaxProperties + 1 {
			entries[fmt.Sprintf("k%d", i)] = "v"
		}
		all = append(all, breach{entries, "must have at most"})
	}
	return all
}

// mismatch is some text that a pattern does not match.
func mismatch(pattern string) string {
	re := regexp.MustCompile(pattern)
	for _, text := range []string{"-/-", "!", "no/pe!", "%"} {
		if !re.MatchString(text) {
			return text
		}
	}
	panic("every candidate matches " + pattern)
}

// A place is where a manifest has a value that a schema is about.
type place struct {
	field  string // as the server's errors name it
	schema *apiextensionsv1.JSONSchemaProps
	value  any
	// replace returns a copy of the manifest with another value here.
	replace func(any) *unstructured.Unstructured
}

// places finds, for each path of the schema, the first place in the manifests
// that has it, and is not empty where there is such a one.
func places(k *kind, manifests []*unstructured.Unstructured) map[string]place {
	found := map[string]place{}
	for _, m := range manifests {
		var visit func(path string, steps []any, s *apiextensionsv1.JSONSchemaProps, value any)
		visit = func(path string, steps []any, s *apiextensionsv1.JSONSchemaProps, value any) {
			if before, ok := found[path]; !ok || isEmpty(before.value) {
				found[path] = place{fieldName(steps), s, value, func(v any) *unstructured.Unstructured { return replaced(m, steps, v) }}
			}
			if s.XPreserveUnknownFields != nil {
				return // open: there is no schema below
			}
			below := func(step any) []any { return append(slices.Clone(steps), step) }
			switch value := value.(type) {
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(value)) {
					if p, ok := s.Properties[key]; ok {
						visit(strings.TrimPrefix(path+"."+key, "."), below(key), &p, value[key])
					} else if s.AdditionalProperties != nil {
						visit(path+"{}", below(key), s.AdditionalProperties.Schema, value[key])
					}
				}
			case []any:
				for i := range value {
					visit(path+"[]", below(i), s.Items.Schema, value[i])
				}
			}
		}
		visit("", nil, k.schema, m.Object)
	}
	return found
}

func isEmpty(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	}
	return false
}

func fieldName(steps []any) string {
	var b strings.Builder
	for _, step := range steps {
		if i, ok := step.(int); ok {
			fmt.Fprintf(&b, "[%d]", i)
		} else {
			fmt.Fprintf(&b, ".%v", step)
		}
	}
	return strings.TrimPrefix(b.String(), ".")
}

func replaced(m *unstructured.Unstructured, steps []any, v any) *unstructured.Unstructured {
	m = m.DeepCopy()
	if len(steps) == 0 {
		m.Object = v.(map[string]any)
	}
	var at any = m.Object
	for i, step := range steps {
		last := i == len(steps)-1
		switch parent := at.(type) {
		case map[string]any:
			key := step.(string)
			if last {
				parent[key] = runtime.DeepCopyJSONValue(v)
			}
			at = parent[key]
		case []any:
			if last {
				parent[step.(int)] = runtime.DeepCopyJSONValue(v)
			}
			at = parent[step.(int)]
		}
	}
	return m
}

// TestConstraints breaks each constraint of each schema once.
func TestConstraints(t *testing.T) {
	_, c := serve(t)
	for _, k := range kinds(t) {
		var manifests []*unstructured.Unstructured
		for i, row := range k.table.Accepted {
			manifests = append(manifests, k.object(t, fmt.Sprintf("constraint-%d", i), row.Object))
		}
		for _, m := range manifests { // statuses are written to objects that exist
			if err := c.Create(t.Context(), m.DeepCopy()); err != nil {
				t.Fatal(err)
			}
		}
		found := places(&k, manifests)
		walk("", k.schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
			p, ok := found[path]
			if !ok {
				t.Errorf("%s: no accepted manifest has %s", k.name, path)
				return
			}
			for _, b := range breaches(s, p.value) {
				checkRefused(t, c, p.replace(b.value), p.field, b.message)
			}
			for _, name := range s.Required {
				if s.Properties[name].Default != nil {
					continue // the server fills it
				}
				without := map[string]any{}
				for key, value := range p.value.(map[string]any) {
					if key != name {
						without[key] = value
					}
				}
				checkRefused(t, c, p.replace(without), strings.TrimPrefix(p.field+"."+name, "."), "Required value")
			}
		})
	}
}

// checkRefused checks that an object is refused for a field with a message.
func checkRefused(t *testing.T, c client.Client, object *unstructured.Unstructured, field, message string) {
	t.Helper()
	var err error
	if strings.HasPrefix(field, "status") {
		current := &unstructured.Unstructured{}
		current.SetGroupVersionKind(object.GroupVersionKind())
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), current); err != nil {
			t.Fatal(err)
		}
		current.Object["status"] = object.Object["status"]
		err = c.Status().Update(t.Context(), current, client.DryRunAll)
	} else {
		object.SetName(object.GetName() + "-broken")
		err = c.Create(t.Context(), object, client.DryRunAll)
	}
	for _, cause := range causes(err) {
		if cause.Field == field && strings.Contains(cause.Message, message) {
			return
		}
	}
	t.Errorf("%s %s: want %q, got %v", object.GetKind(), field, message, err)
}
