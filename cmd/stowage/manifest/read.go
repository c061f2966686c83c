package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"
)

// Read reads the objects of all sources. Kinds that no plan depends on are left
// out with a note. Sources without any object are an error; no source is an empty
// Set.
func Read(sources []Source) (*Set, error) {
	s := &Set{objects: map[Key]entry{}, notes: map[string]tally{}}
	for _, source := range sources {
		docs, err := documents(source)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			if err := s.read(d, header{}); err != nil {
				return nil, err
			}
		}
	}
	if len(s.objects) == 0 && len(sources) > 0 {
		return nil, errors.New("there is no object in the manifests that a plan could be made for")
	}
	return s, nil
}

// A header is the part of an object that says what it is, and the items if it is
// a list.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// read takes in one document: an object, or a list of them. The items of a typed
// list, as an API server sends it, do not say what they are: implied does.
func (s *Set) read(d document, implied header) error {
	var h header
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.json, &h); err != nil {
		return fmt.Errorf("%s: %w", d.at, headerError(d.json, err))
	}
	if h.Kind == "" && h.APIVersion == "" {
		h.Kind, h.APIVersion = implied.Kind, implied.APIVersion
	}
	if h.Kind == "" || h.APIVersion == "" {
		return fmt.Errorf("%s: not a Kubernetes object: kind and apiVersion are needed", d.at)
	}
	gv, err := schema.ParseGroupVersion(h.APIVersion)
	if err != nil {
		return fmt.Errorf("%s: apiVersion: %w", d.at, err)
	}
	gk := gv.WithKind(h.Kind).GroupKind()
	k, known := kinds[gk]
	if !known && strings.HasSuffix(h.Kind, "List") {
		return s.readList(d, h)
	}
	key := Key{h.Kind, h.Metadata.Namespace, h.Metadata.Name}
	if !known {
		count(s.notes, h.Kind+": skipped, plans do not depend on it", fmt.Sprintf("%s: %s", d.at, key))
		return nil
	}
	if gv.Version != k.version {
		return fmt.Errorf("%s: %s: apiVersion: %s is not read, only %s", d.at, key, gv, schema.GroupVersion{Group: gv.Group, Version: k.version})
	}
	return s.readObject(d, key, k)
}

// headerError says what is wrong with a document that has no header.
func headerError(data []byte, err error) error {
	if len(data) > 0 && data[0] != '{' {
		return errors.New("not a Kubernetes object: kind and apiVersion are needed")
	}
	return blame(data, err, func(data []byte) error { return kjson.UnmarshalCaseSensitivePreserveInts(data, &header{}) })
}

// readList takes in the items of a list, by themselves: one may be of a kind that
// is skipped, or itself a list.
func (s *Set) readList(d document, h header) error {
	implied := header{APIVersion: h.APIVersion, Kind: strings.TrimSuffix(h.Kind, "List")}
	for i, item := range h.Items {
		if err := s.read(document{item, Place{d.at.File, d.at.Line, i}}, implied); err != nil {
			return err
		}
	}
	return nil
}

// readObject decodes, defaults and checks one object of a kind that is read.
func (s *Set) readObject(d document, key Key, k kind) error {
	o := k.make()
	switch {
	case !k.namespaced:
		key.Namespace = ""
	case key.Namespace == "":
		key.Namespace = "default"
	}
	unknown, err := kjson.UnmarshalStrict(d.json, o)
	if err != nil {
		err = blame(d.json, err, func(data []byte) error { return kjson.UnmarshalCaseSensitivePreserveInts(data, k.make()) })
		return fmt.Errorf("%s: %s: %w", d.at, key, err)
	}
	o.SetNamespace(key.Namespace)
	for _, err := range unknown {
		if mustKnow(err, o, k) {
			return fmt.Errorf("%s: %s: %w", d.at, key, err)
		}
		count(s.notes, fmt.Sprintf("%s: %v: not known to this version, ignored", key.Kind, err), fmt.Sprintf("%s: %s", d.at, key))
	}
	setDefaults(o)
	if problems := check(o); len(problems) > 0 {
		return fmt.Errorf("%s: %s: %w", d.at, key, first(problems))
	}
	return s.add(key, entry{o, d.at})
}

// mustKnow reports whether a field that is not known, or stands twice, is an
// error: where somebody wrote it by hand, as kubectl has it, and always in the
// spec of our kinds. An object with a UID was read from a server, which took it,
// and may be newer than we are.
func mustKnow(err error, o client.Object, k kind) bool {
	if byHand(o) {
		return true
	}
	at, ok := err.(kjson.FieldError)
	return k.ours && (!ok || strings.HasPrefix(at.FieldPath(), "spec."))
}

// first returns the first problem, and says how many there are.
func first(problems field.ErrorList) error {
	if len(problems) == 1 {
		return problems[0]
	}
	return fmt.Errorf("%w (and %d more)", problems[0], len(problems)-1)
}
