// Package nodeclass keeps the status of EC2NodeClasses: what their selectors
// find in the account, whether they can be launched from, and what is to be
// cleaned up when they go. What it resolves it leaves in [aws.Classes], from
// which package aws launches.
//
//	EC2NodeClass ─ validate ─ resolve (EC2, SSM, IAM) ─▶ aws.Class ─▶ aws.Classes
//	                                   └────────────────▶ status, conditions
//
// It launches nothing and knows no NodePool. Of NodeClaims it knows which hold a
// class, and writes its hash on those that have another controller's. Its laws:
//
//   - A step looks at one EC2NodeClass and says when to look again. It has no
//     clock: now is an argument.
//   - What is not understood yet is refused with the field's name, in the
//     condition ValidationSucceeded; it is never left out in silence.
//   - A selector that finds nothing is a condition. A call that fails is an error,
//     and leaves what was found before as it is.
//   - Nothing is written when nothing changed, and every write is a patch.
package nodeclass
