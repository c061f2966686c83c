package crd_test

import (
	"bytes"
	"os"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json" // keeps integers
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/charts"
)

// raw is a part of a table, as JSON.
type raw []byte

// UnmarshalJSON keeps the text.
func (r *raw) UnmarshalJSON(data []byte) error { *r = bytes.Clone(data); return nil }

// A table is testdata/KIND.yaml.
type table struct {
	// Accepted manifests. The first is what Refused is patched from.
	Accepted []struct {
		Name   string `json:"name"`
		Object raw    `json:"object"`
	} `json:"accepted"`
	// Refused are merge patches over the first of the accepted. If Then is set,
	// the object is accepted, and the update to Then over it is refused.
	Refused []struct {
		Object  raw    `json:"object"`
		Then    raw    `json:"then"`
		Message string `json:"message"`
	} `json:"refused"`
}

// A kind is one of ours, with its CRD and its table.
type kind struct {
	name   string
	crd    *apiextensionsv1.CustomResourceDefinition
	schema *apiextensionsv1.JSONSchemaProps
	table  table
}

// kinds reads the CRDs and the tables, in order.
func kinds(t *testing.T) []kind {
	t.Helper()
	crds, err := charts.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	var all []kind
	for _, u := range crds {
		k := kind{crd: &apiextensionsv1.CustomResourceDefinition{}}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, k.crd); err != nil {
			t.Fatal(err)
		}
		k.name = k.crd.Spec.Names.Kind
		k.schema = k.crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		data, err := os.ReadFile("testdata/" + k.crd.Spec.Names.Singular + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(data, &k.table); err != nil {
			t.Fatalf("reading the table of %s: %v", k.name, err)
		}
		all = append(all, k)
	}
	if len(all) != 5 {
		t.Fatalf("there are %d CRDs, want 5", len(all))
	}
	return all
}

// object makes an object of the kind from a manifest without type and name.
func (k *kind) object(t *testing.T, name string, manifest []byte) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(manifest, &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetAPIVersion(k.crd.Spec.Group + "/" + k.crd.Spec.Versions[0].Name)
	u.SetKind(k.name)
	u.SetName(name)
	if k.crd.Spec.Scope == apiextensionsv1.NamespaceScoped {
		u.SetNamespace("default")
	}
	return u
}

// patched is a manifest after a merge patch; no patch leaves it as it is.
func patched(t *testing.T, manifest, patch []byte) []byte {
	t.Helper()
	if len(patch) == 0 {
		return manifest
	}
	data, err := jsonpatch.MergePatch(manifest, patch)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
