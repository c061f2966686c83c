// Package handover has the released Karpenter and Stowage run one cluster in
// turn, and checks that neither touches what the other made. Its tests are all
// there is.
//
// The EC2 that both call is test/ec2sim, over the real wire protocols; the nodes
// are those that its instances become from their own user data. Each side has an API of its
// own in memory, with its own Go types; at a handover everything is written as
// JSON from one to the other, as an API server would keep it. Of Karpenter there
// run its own controllers and its own provider for AWS, with nothing replaced but clocks.
package handover
