package aws

import (
	"maps"
	"sync/atomic"
)

// Before a node of a type has been seen its memory is an estimate, too low for most and too high for
// small ones. What nodes report replaces it: the least of those with the type and the image, since how much
// hypervisor, firmware and kernel keep depends on both.

// A kind is what machines have to have in common to see as much of their memory.
type kind struct{ instanceType, image string }

// sightings are bytes of memory by kind. The map is never changed: another replaces it.
type sightings struct {
	least atomic.Pointer[map[kind]int64]
}

// Observe takes in that a node of an instance type, started from an image, reports so many bytes of
// memory. It may be called by many goroutines, and again with the same.
func (p *Provider) Observe(instanceType, image string, memory int64) {
	k := kind{instanceType, image}
	memory = memory / mib * mib // nodes of a kind differ by some pages
	for {
		old := p.sightings.least.Load()
		next := map[kind]int64{}
		if old != nil {
			if least, seen := (*old)[k]; seen && least <= memory {
				return
			}
			maps.Copy(next, *old)
		}
		next[k] = memory
		if p.sightings.least.CompareAndSwap(old, &next) {
			return
		}
	}
}

// memoryOf says how much memory nodes of a class see, by the name of their type and its labels; 0 if
// that is not known.
func (c *Class) memoryOf(least *map[kind]int64) func(instanceType string, labels map[string]string) int64 {
	if least == nil {
		return nil
	}
	return func(instanceType string, labels map[string]string) int64 {
		image, ok := c.image(labels)
		if !ok {
			return 0
		}
		return (*least)[kind{instanceType, image.ID}]
	}
}
