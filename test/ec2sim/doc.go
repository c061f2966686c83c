// Package ec2sim is a small AWS for tests and for the demo: an HTTP server on
// loopback that speaks the wire protocols of EC2, SQS, SSM, Pricing, Savings Plans,
// EKS, IAM and STS as far as Stowage calls them. The SDK reaches it through AWS_ENDPOINT_URL
// and notices nothing.
//
//	sim, err := ec2sim.Start(ec2sim.Options{Cluster: ec2sim.Cluster{Name: "demo"}})
//	cmd.Env = append(cmd.Env, sim.Env()...)
//
// It is not an emulator of AWS. It knows what a provisioner sees: types, subnets,
// images, launch templates, fleets, instances and their tags, prices and
// interruptions. There are no volumes, no network and no charge. What it does not
// understand it refuses as AWS would; an optional parameter without consequence
// here is ignored, but it has to be one. Before anything looks at a request it is held
// against the service's own API model (package apimodel): a member that the operation does
// not have, one that is missing, a value that is not in its enum, too long or out of range
// is refused with the operation's and the member's name.
//
// # An instance's life
//
//	CreateFleet → pending → running → user data is read → Node joins, NotReady
//	  → cloud controller labels it → Ready … shutting-down → terminated
//	  → its Node is lost, then deleted → after a while the instance is forgotten
//
// One goroutine lives each life, from top to bottom, in live. The bootstrap reads
// nothing but the instance's own user data, its image and its type: if the user
// data is wrong, no Node comes, and [Server.ConsoleLog] says why. There are readers
// for Amazon Linux 2 and 2023, Bottlerocket and Windows. Nodes carry the
// annotation kwok.x-k8s.io/node: fake, so that package controlplane keeps their
// heartbeats and pods; their conditions are written here and nowhere else.
//
// # What is there
//
//	EC2      DescribeInstanceTypes, DescribeInstanceTypeOfferings, DescribeSubnets,
//	         DescribeSecurityGroups, DescribeImages, DescribeAvailabilityZones,
//	         CreateLaunchTemplate, DescribeLaunchTemplates, DeleteLaunchTemplate,
//	         CreateFleet (instant), RunInstances, TerminateInstances,
//	         DescribeInstances, DescribeInstanceStatus, CreateTags,
//	         DescribeSpotPriceHistory, DescribePlacementGroups,
//	         DescribeReservedInstances
//	SQS      GetQueueUrl, ReceiveMessage (waits), DeleteMessage
//	SSM      GetParameter, of the images' public parameters
//	Pricing  GetProducts
//	Savings Plans
//	         DescribeSavingsPlans, DescribeSavingsPlanRates
//	EKS      DescribeCluster
//	IAM      instance profiles: get, list, create, tag, delete, add and remove role
//	STS      GetCallerIdentity
//
// # What goes wrong, and when
//
// By itself: what AWS refuses. A fleet from an unknown template, with two
// overrides for one pool, or with a subnet of another zone is refused as a whole;
// an unknown image, group, profile or type, or a subnet without addresses, is an
// error of the override that was tried.
//
// On request: [Server.RunShort] (capacity), [Server.Throttle] and
// [Server.ThrottleOdds], [Server.Deny] (IAM), [Server.FailNext] (any code),
// [Server.Slow], [Server.Lag] (eventual consistency), [Server.DropReplies] (the
// answer is lost, the effect is not), [Server.After] (a moment to kill the caller
// in), [Server.Interrupt], [Server.Terminate], [Server.Impair], [Server.Plan], [Server.SetPrice].
//
// # Laws
//
//   - Everything behind the HTTP handler is one state under one mutex, which is
//     never held across a call to Kubernetes or a wait.
//   - Chance comes from Options.Seed. Which pool a fleet picks, how long a
//     delay is and which call is throttled follow from the seed and the order of
//     calls; identifiers too.
//   - Every list that leaves the server is sorted, and every page token names
//     the last key of its page, so that a list that changes between two pages
//     neither repeats nor skips what stayed.
//   - Allocatable is computed here as kubelet does it, on purpose without any code
//     of the product: it is the other opinion.
package ec2sim
