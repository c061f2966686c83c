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

// interruptionsUsage explains spot-interruptions.
const interruptionsUsage = "JSON `file` of the Spot Instance Advisor (spot-advisor-data.json), for NodePools with the annotation stowage.sh/interruption-cost; see docs/prices.md; default: none"

// readInterruptions reads how often machines on spot are taken back in a region.
func readInterruptions(name, region string) (pricing.Interruptions, error) {
	return readFile(name, func(file *os.File) (pricing.Interruptions, error) {
		return pricing.ReadInterruptions(file, name, region)
	})
}
