package state

import (
	"slices"

	"k8s.io/utils/third_party/forked/golang/btree"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Groups are an index: objects by something that several have in common, such as the node of
// pods. The zero value is empty, and it is immutable.
type groups[T client.Object] struct{ tree *btree.BTree[group[T]] }

// A group is the objects of one name, in order. The slice is replaced and never changed:
// snapshots share it. Groups are only ever looked up, and their names begin alike and lie
// elsewhere: by their hashes they are found three times as fast.
type group[T client.Object] struct {
	hash    uint64
	name    string
	members []T
}

func newGroup[T client.Object](name string, members []T) group[T] {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	hash := uint64(offset)
	for i := range len(name) {
		hash = (hash ^ uint64(name[i])) * prime
	}
	return group[T]{hash, name, members}
}

func (g group[T]) less(than group[T]) bool {
	return g.hash < than.hash || g.hash == than.hash && g.name < than.name
}

func (g groups[T]) of(name string) []T {
	if g.tree == nil || name == "" {
		return nil
	}
	found, _ := g.tree.Get(newGroup[T](name, nil))
	return found.members
}

// first finds an object that is alone in its group, as a rule.
func (g groups[T]) first(name string) (object T, ok bool) {
	if members := g.of(name); len(members) > 0 {
		return members[0], true
	}
	return object, false
}

// A grouping is the live form of groups: it follows a table. A change copies one group, which is
// nothing for the pods of a node, and a few microseconds for the NodeClaims of a NodePool.
type grouping[T client.Object] struct {
	by     func(T) string // the name of an object's group; empty where it is in none
	live   groups[T]
	frozen *groups[T] // nil when live changed since
}

func (g *grouping[T]) follow(was, is *T) {
	if was != nil && (is == nil || g.by(*is) != g.by(*was)) {
		g.drop(*was)
	}
	if is != nil {
		g.add(*is)
	}
}

func (g *grouping[T]) add(o T) {
	name := g.by(o)
	if name == "" {
		return
	}
	members := g.live.of(name)
	at, there := slices.BinarySearchFunc(members, o, compareObjects)
	next := make([]T, 0, len(members)+1)
	next = append(append(next, members[:at]...), o)
	if there {
		at++
	}
	g.set(newGroup(name, append(next, members[at:]...)))
}

func (g *grouping[T]) drop(o T) {
	name := g.by(o)
	members := g.live.of(name)
	at, there := slices.BinarySearchFunc(members, o, compareObjects)
	if !there {
		return
	}
	g.set(newGroup(name, slices.Concat(members[:at], members[at+1:])))
}

func (g *grouping[T]) set(next group[T]) {
	g.frozen = nil
	if len(next.members) == 0 {
		g.live.tree.Delete(next)
		return
	}
	if g.live.tree == nil {
		g.live.tree = btree.New(degree, group[T].less)
	}
	g.live.tree.ReplaceOrInsert(next)
}

func compareObjects[T client.Object](a, b T) int {
	return compareKeys(client.ObjectKeyFromObject(a), client.ObjectKeyFromObject(b))
}

func (g *grouping[T]) freeze() groups[T] {
	if g.frozen == nil {
		g.frozen = &groups[T]{}
		if g.live.tree != nil {
			g.frozen.tree = g.live.tree.Clone()
		}
	}
	return *g.frozen
}
