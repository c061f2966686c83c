package binpack

import (
	"encoding/binary"
	"math"
)

// What is alike to whoever packs a node.
//
// Deployments differ in name and agree in what they ask for: a thousand groups come in
// a hundred shapes. Packing looks at kinds, and only when a node is opened is it
// settled whose pods they are (deal). Groups are alike only if rules of one node
// bind them in the same way (rules.go).

// A kind is all parts that are alike to whoever packs a node.
type kind struct {
	need     Vector    // of one pod
	norm     Vector    // the same in parts of unit
	size     []float64 // the same in parts of 1
	set      int       // where it may go: an index into table.sets
	ruled    int       // if rules of one node bind its pods, the first group that is bound so; else -1
	priority int32
	filler   bool   // may only fill nodes that others open
	parts    []int  // indices into pass.parts, in order
	left     int64  // pods of all parts
	most     int64  // on one node, by the rules of one node
	value    uint64 // of one pod, by the worth in force
}

// kinds gathers the parts that keep pods, in the order of their first parts.
func (s *pass) kinds(keep func(p *part) bool, level int32) []kind {
	out := make([]kind, 0, min(len(s.parts), max(s.widest, 16)))
	index := map[string]int{}
	var key []byte
	for i := range s.parts {
		p := &s.parts[i]
		if p.left == 0 || !keep(p) {
			continue
		}
		priority := s.Groups[p.group].Priority
		ruled := s.alike[p.group]
		key = key[:0]
		for _, q := range p.need {
			key = binary.AppendVarint(key, q)
		}
		key = binary.AppendVarint(key, int64(p.set))
		key = binary.AppendVarint(key, int64(ruled))
		key = binary.AppendVarint(key, int64(priority))
		k, ok := index[string(key)]
		if !ok {
			k = len(out)
			index[string(key)] = k
			norm := s.norm(p.need)
			out = append(out, kind{
				need: p.need, norm: norm, size: floats(norm), set: p.set, ruled: ruled,
				priority: priority, filler: priority < level, most: math.MaxInt64,
			})
			if ruled >= 0 {
				out[k].most = s.abides(ruled, nil, -1, math.MaxInt64)
			}
		}
		out[k].parts = append(out[k].parts, i)
		out[k].left += p.left
	}
	return out
}

// intern numbers the sets of offers that cells have, so that equal ones are found
// by number. Most groups share one set, and even its memory.
func (t *table) intern(s Set) int {
	s = s.trimmed()
	var head *uint64
	if len(s) > 0 {
		head = &s[0]
	}
	if i, ok := t.setAt[head]; ok && len(t.sets[i]) == len(s) {
		return i
	}
	name := s.key()
	i, ok := t.setNamed[name]
	if !ok {
		i = len(t.sets)
		t.setNamed[name] = i
		t.sets = append(t.sets, s)
	}
	t.setAt[head] = i
	return i
}
