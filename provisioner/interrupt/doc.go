// Package interrupt writes down what the cloud says of machines: that it takes them, stops them or
// thinks ill of them. Package disrupt acts on it, as it does on drift.
//
//	notice ─ of a NodeClaim? ─▶ condition Interrupted ─▶ deadline written ─▶ event ─▶ Done
//	    ├─ of nobody's, or nothing: Done
//	    └─ a recommendation: event ─▶ Done
//
// Its laws:
//
//   - A notice is Done only after what follows from it is written. Until then it comes again: a
//     crash between any two writes loses nothing.
//   - What is written already is not written again: a notice that is repeated does nothing new, and
//     of several the one with the earliest deadline counts.
//   - It deletes nothing, and a machine that nobody here bought is none of its business.
//   - It has no clock, and waits for no network but to say Done.
package interrupt
