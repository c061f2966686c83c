package main

import (
	"os"

	"github.com/stowage-sh/stowage/pricing"
)

// interruptionsUsage explains spot-interruptions.
const interruptionsUsage = "JSON `file` of the Spot Instance Advisor (spot-advisor-data.json), for NodePools with the annotation stowage.sh/interruption-cost; see docs/prices.md; default: none"

// readInterruptions reads how often machines on spot are taken back in a region.
func readInterruptions(name, region string) (pricing.Interruptions, error) {
	return readFile(name, func(file *os.File) (pricing.Interruptions, error) {
		return pricing.ReadInterruptions(file, name, region)
	})
}
