// Package crd holds the CRDs of charts/stowage to their contract, by what a real
// kube-apiserver makes of manifests, and the chart's roles to theirs. It is a test
// and nothing else.
//
//	testdata/KIND.yaml   manifests that are accepted, and that are refused by CEL rules
//	TestAccepted         what is accepted comes back without loss, through Go types too
//	TestRules            each CEL rule of the CRDs refuses some row of the table
//	TestConstraints      each pattern, enum, bound and required field refuses a breach,
//	                     made from the accepted manifests; these use every field
//	TestRoles            the controller may do what it must, and not more
//
// TestRules and TestConstraints read from the CRDs what there is to check, so that a rule that is
// added without a row fails the test.
package crd
