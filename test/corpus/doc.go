// Package corpus makes the pods that the solver is measured with, as API objects,
// and the markets that they are placed on: generated types, or the embedded
// catalog with its prices.
//
// Every list of pods is a function of its size, so that two runs, two machines and
// two schedulers get the same pods. The generators follow what is known of real
// clusters: requests from menus, few large Deployments and many small ones. None of
// it is a recording; pod lists that are can be read with ReadPods.
//
// It measures nothing: the benchmarks of this folder do, and test/peer compares.
package corpus
