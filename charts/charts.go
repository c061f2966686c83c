// Package charts holds the Helm chart of Stowage, and hands out the parts of it
// that everything else that starts Stowage needs too: the CRDs, and the roles
// that the controller runs with. Tests and the demo apply exactly these, so that
// a permission that the chart forgets is missing there as well.
//
// It is not a template engine: the chart is rendered by Helm. The roles use no
// more of its language than Go's own templates have (see RBAC).
//
// The CRDs are generated from the Go types by crdgen; after an edit of those run
//
//	go generate ./charts
package charts

//go:generate go run ./crdgen stowage/crds
//go:generate go run ./iamgen

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed stowage/crds/*.yaml
var crds embed.FS

//go:embed stowage/templates/rbac.yaml
var rbac string

// ServiceAccount is the name of the service account that the controller runs as,
// unless the chart's values name another.
const ServiceAccount = "stowage"

// CRDs returns the custom resource definitions, by name of file. The caller may
// change them.
func CRDs() ([]*unstructured.Unstructured, error) {
	const dir = "stowage/crds"
	files, err := fs.ReadDir(crds, dir)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		data, err := crds.ReadFile(path.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		objects, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file.Name(), err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// RBAC returns the roles of the controller and their bindings, as the chart makes
// them in a namespace with its default values. The caller may change them. The
// ServiceAccount itself, and the namespace, are the caller's to make.
func RBAC(namespace string) ([]*unstructured.Unstructured, error) {
	t, err := template.New("rbac.yaml").Option("missingkey=error").Parse(rbac)
	if err != nil {
		return nil, err
	}
	// What Helm hands to its templates, as far as rbac.yaml asks for it.
	values := map[string]any{
		"Release": map[string]any{"Namespace": namespace},
		"Values":  map[string]any{"serviceAccount": map[string]any{"name": ServiceAccount}, "settings": map[string]any{"nominatePods": true, "surgeSingleReplicas": false, "featureGates": map[string]any{"capacityBuffer": true}}},
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return nil, err
	}
	return decode(b.Bytes())
}

// decode reads the documents of a YAML stream; empty ones are left out.
func decode(data []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}
