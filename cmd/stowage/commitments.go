package main

import (
	"os"
	"time"

	"github.com/stowage-sh/stowage/pricing"
)

// commitmentsUsage explains commitments.
const commitmentsUsage = "YAML `file` of Savings Plans and Reserved Instances, which are filled first; see docs/commitments.md; default: none"

// commitmentsInterval is the time between two looks at the file: that of a ConfigMap on a node changes
// within about a minute.
const commitmentsInterval = time.Minute

// readCommitments reads those of a file that count in a region now.
func readCommitments(name, region string, now time.Time) (pricing.Commitments, error) {
	return readFile(name, func(file *os.File) (pricing.Commitments, error) {
		return pricing.ReadCommitments(file, name, region, now)
	})
}
