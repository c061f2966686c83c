package aws

import "github.com/stowage-sh/stowage/cloudprovider"

// A Meter counts what becomes of requests, and measures what is sent. Its methods are called by many goroutines.
type Meter interface {
	// LaunchFailed counts an offering that a fleet did not launch, in the zone of that ID. The reason is EC2's code.
	LaunchFailed(o cloudprovider.Offering, zoneID, reason string)
	// TerminationFailed counts an instance that was not given back.
	TerminationFailed()
	// Batch counts a request for so many things at once, of a kind of request. What it returns is called at its end.
	Batch(kind string, size int) (end func())
	// UserData is told how many bytes of user data, before base64, nodes of an EC2NodeClass get by the launch template that
	// is made now. EC2 takes MaxUserDataBytes.
	UserData(class string, bytes int)
}

// The kinds of batches: launches and terminations.
const batchLaunch, batchTerminate = "create_fleet", "terminate_instances"

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) LaunchFailed(cloudprovider.Offering, string, string) {}
func (noMeter) TerminationFailed()                                  {}
func (noMeter) Batch(string, int) func()                            { return func() {} }
func (noMeter) UserData(string, int)                                {}

// meter is the one of the configuration, or one that counts nothing.
func (c *Config) meter() Meter {
	if c.Meter == nil {
		return noMeter{}
	}
	return c.Meter
}
