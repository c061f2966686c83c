// Package aws is EC2 as a [cloudprovider.Provider]: what can be bought under an
// EC2NodeClass, and buying it.
//
// It is not a scheduler and not a controller. What to launch, and in which order
// of preference, was decided by the plan and comes in the request; nothing here
// sorts by a price. It holds no Kubernetes client: what it has to know of an
// EC2NodeClass comes as a [Class], resolved by package nodeclass below and left
// in [Classes].
//
// Its laws:
//
//   - No lock is held across a network call. Shared state is an immutable value
//     behind one pointer, or a small map whose lock covers map operations only.
//   - A claim gets one instance, whoever asks how often: see launch.go, and together.go of
//     claims that share a call.
//   - What AWS says of instances (Interruptions) is kept until it is Done: who ends before hears it again.
//   - No clock and no chance. Caches live until they are refreshed or proved
//     wrong by EC2; calls are batched by what waits, not by timers; where a time
//     matters, it is the one that EC2 says in its answers.
//   - An error of AWS keeps its type: callers find the code by smithy.APIError.
package aws
