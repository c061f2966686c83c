package state

import (
	"cmp"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/third_party/forked/golang/btree"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What a snapshot holds are trees that share all but what changed with those of the snapshot
// before: a tree is cloned in constant time, and a change of the live one then copies the nodes
// on its way down. Readers of the clone see nothing of that and take no lock, as long as nobody
// writes to it.

// degree of the trees: with 16 to 31 items in a node a change copies about four kilobytes of a
// tree of 100,000.
const degree = 16

// A List is an immutable set of objects of one kind, ordered by namespace and
// name. The zero value is empty.
type List[T client.Object] struct{ *version[T] }

// A version is what a table held when it was frozen.
type version[T client.Object] struct {
	tree *btree.BTree[item[T]] // never written to
	all  func() []T
}

// An item is an object under its key, so that comparing asks no object.
type item[T any] struct {
	key    types.NamespacedName
	object T
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// All returns the objects in order. The slice is made when somebody first asks, in time
// proportional to the list, and lives as long as the list does not change. The caller must not
// modify it.
func (l List[T]) All() []T {
	if l.version == nil {
		return nil
	}
	return l.all()
}

// Len returns the number of objects.
func (l List[T]) Len() int {
	if l.version == nil {
		return 0
	}
	return l.tree.Len()
}

// Get finds a cluster-scoped object by name.
func (l List[T]) Get(name string) (T, bool) {
	return l.Namespaced("", name)
}

// Namespaced finds an object by namespace and name.
func (l List[T]) Namespaced(namespace, name string) (object T, ok bool) {
	if l.version == nil {
		return object, false
	}
	found, ok := l.tree.Get(item[T]{key: types.NamespacedName{Namespace: namespace, Name: name}})
	return found.object, ok
}

// A table is the live form of a List.
type table[T client.Object] struct {
	live      *btree.BTree[item[T]] // nil until there is something
	frozen    *version[T]           // nil when live changed since
	followers []follower[T]
}

// A follower keeps something in step with a table: is comes in the place of was, and
// either is nil if there is none.
type follower[T client.Object] interface{ follow(was, is *T) }

func (t *table[T]) get(key types.NamespacedName) (object T, ok bool) {
	if t.live == nil {
		return object, false
	}
	found, ok := t.live.Get(item[T]{key: key})
	return found.object, ok
}

// put takes in an object, unless it is older than what is known.
func (t *table[T]) put(o T) bool {
	was, ok := t.get(client.ObjectKeyFromObject(o))
	if ok && !newer(was, o) {
		return false
	}
	t.set(o)
	for _, f := range t.followers {
		if ok {
			f.follow(&was, &o)
		} else {
			f.follow(nil, &o)
		}
	}
	return true
}

// remove takes out an object, if it is the one that is known by that name.
func (t *table[T]) remove(o T) bool {
	was, ok := t.get(client.ObjectKeyFromObject(o))
	if !ok || was.GetUID() != o.GetUID() {
		return false
	}
	t.unset(o)
	for _, f := range t.followers {
		f.follow(&was, nil)
	}
	return true
}

func (t *table[T]) set(o T) {
	if t.live == nil {
		t.live = btree.New(degree, func(a, b item[T]) bool { return compareKeys(a.key, b.key) < 0 })
	}
	t.live.ReplaceOrInsert(item[T]{client.ObjectKeyFromObject(o), o})
	t.frozen = nil
}

func (t *table[T]) unset(o T) {
	if t.live == nil {
		return
	}
	if _, ok := t.live.Delete(item[T]{key: client.ObjectKeyFromObject(o)}); ok {
		t.frozen = nil
	}
}

func (t *table[T]) freeze() List[T] {
	if t.frozen == nil && t.live != nil {
		tree := t.live.Clone()
		t.frozen = &version[T]{tree, sync.OnceValue(func() []T {
			all := make([]T, 0, tree.Len())
			tree.Ascend(func(i item[T]) bool {
				all = append(all, i.object)
				return true
			})
			return all
		})}
	}
	return List[T]{t.frozen}
}

// A subset holds those objects of a table for which has is true.
type subset[T client.Object] struct {
	has func(T) bool
	table[T]
}

func (s *subset[T]) follow(was, is *T) {
	switch {
	case is != nil && s.has(*is):
		s.set(*is)
	case was != nil:
		s.unset(*was)
	}
}
