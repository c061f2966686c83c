// Package pricing knows what an hour of each offering costs.
//
// A [Table] is an immutable set of prices of one region, from the tables built
// into the binary ([Embedded]), from a file ([ReadCSV]), or from AWS ([OnDemand],
// [Spot]), and of [Commitments]: what of on-demand use is paid for already, by a
// file ([ReadCommitments]) or an AWS account ([Account]). A [Book] holds the current
// table behind one pointer: readers never wait for the network and never see half an update.
//
// The laws: prices are integers, millionths of a dollar per hour, converted
// without floating point where they enter; a price that is not known is not
// there, and never 0; nothing is estimated from another price. It decides
// nothing, and has no clock: whoever refreshes says when.
package pricing

// The tables are made from published Go modules, which are no dependencies of
// the product: the generator fetches them itself and checks their hashes.
//go:generate go run ./gen
