package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Place says where an object was read.
type Place struct {
	File string
	Line int // of the document, from 1; 0 where there are no lines
	// Item is the index in a list, or -1 for an object by itself.
	Item int
}

// String returns the place as the beginning of an error: "web.yaml:12".
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	if p.Item < 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d: items[%d]", p.File, p.Line, p.Item)
}

// A Key names an object among all that were read.
type Key struct{ Kind, Namespace, Name string }

// String returns "Deployment shop/web", or "NodePool default".
func (k Key) String() string {
	switch {
	case k.Name == "":
		return k.Kind + " without a name"
	case k.Namespace == "":
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

func (k Key) compare(l Key) int {
	return cmp.Or(cmp.Compare(k.Kind, l.Kind), cmp.Compare(k.Namespace, l.Namespace), cmp.Compare(k.Name, l.Name))
}

// A Set is the objects that were read, and those that Expand made of them. Every
// object has a UID: its own, or one made of its kind and name.
type Set struct {
	objects  map[Key]entry
	notes    map[string]tally
	refusals []Refusal
	// live says that the objects of a cluster were merged in.
	live bool
}

type entry struct {
	object client.Object
	at     Place
}

// A tally counts alike things, with the first of them.
type tally struct {
	count int
	first string
}

// All returns the objects by kind, namespace and name. The caller must not modify
// them.
func (s *Set) All() []client.Object {
	all := make([]client.Object, 0, len(s.objects))
	for _, key := range s.keys() {
		all = append(all, s.objects[key].object)
	}
	return all
}

// Len returns the number of objects.
func (s *Set) Len() int { return len(s.objects) }

// Has reports whether there is an object of that name. Namespace is empty for
// kinds that have none.
func (s *Set) Has(kind, namespace, name string) bool {
	_, ok := s.objects[Key{kind, namespace, name}]
	return ok
}

// HasKind reports whether there is an object of a kind.
func (s *Set) HasKind(kind string) bool {
	for key := range s.objects {
		if key.Kind == kind {
			return true
		}
	}
	return false
}

// keys returns the total order of the objects.
func (s *Set) keys() []Key {
	return slices.SortedFunc(maps.Keys(s.objects), Key.compare)
}

// add takes in an object. Two of one name are an error, since which of them comes
// last must not matter.
func (s *Set) add(key Key, e entry) error {
	if old, twice := s.objects[key]; twice {
		first, second := old.at, e.at
		if later(first, second) {
			first, second = second, first
		}
		return fmt.Errorf("%s: %s stands at %s already", second, key, first)
	}
	if e.object.GetUID() == "" {
		e.object.SetUID(types.UID(madeUID + key.String()))
	}
	s.objects[key] = e
	return nil
}

// madeUID begins the UIDs of objects that came without one.
const madeUID = "manifest/"

// byHand reports whether an object was never on a server.
func byHand(o client.Object) bool {
	return o.GetUID() == "" || strings.HasPrefix(string(o.GetUID()), madeUID)
}

// later reports whether p comes after q where files are read by name.
func later(p, q Place) bool {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Item, q.Item)) > 0
}

// A list of the objects of one type, in order.
func list[T client.Object](s *Set) []T {
	var objects []T
	for _, key := range s.keys() {
		if o, ok := s.objects[key].object.(T); ok {
			objects = append(objects, o)
		}
	}
	return objects
}

// count counts what into tallies; first is kept of the smallest.
func count(tallies map[string]tally, what, first string) {
	t, ok := tallies[what]
	if !ok || first < t.first {
		t.first = first
	}
	t.count++
	tallies[what] = t
}

// Notes returns lines for the user about what was left out, sorted.
func (s *Set) Notes() []string {
	var notes []string
	for _, what := range slices.Sorted(maps.Keys(s.notes)) {
		notes = append(notes, fmt.Sprintf("%s (%s)", what, s.notes[what].where()))
	}
	return notes
}

// where names the first of a tally, and how many there are beside it.
func (t tally) where() string {
	if t.count == 1 {
		return t.first
	}
	return fmt.Sprintf("%s and %d more", t.first, t.count-1)
}

// Merge takes in the objects of a cluster, but for those that the set replaces:
// the cluster as it would be with the set applied. Objects of kinds that are not
// read are left out. Claims and volumes stay as the cluster has them: where they are is its
// decision.
func (s *Set) Merge(cluster []client.Object) {
	s.live = true
	for _, o := range cluster {
		kind, known := kindNames[reflect.TypeOf(o)]
		key := Key{kind, o.GetNamespace(), o.GetName()}
		if _, replaced := s.objects[key]; known && (!replaced || kind == "PersistentVolumeClaim" || kind == "PersistentVolume") {
			s.objects[key] = entry{o, Place{"the cluster", 0, -1}}
		}
	}
}
