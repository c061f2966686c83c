package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// A bound is what AWS's documentation of a member says of its length, size or number, and no
// model does; 0 is none. The pattern is for the whole text.
type bound struct {
	min, max float64
	pattern  string
}

// bounds are by service, structure and member.
type bounds map[string]*entry

type entry struct {
	bound
	used bool
}

// interfaceTypes are the kinds of network interfaces that an instance may be launched with.
const interfaceTypes = "interface|efa|efa-only"

// documented bounds. The source of each is the comment on the member in the SDK, which is the
// API reference, unless another is said. It is quoted.
var documented = bounds{
	// "Constraints: Maximum 64 ASCII characters", of RunInstances; EC2's guide says the same of fleets.
	"ec2 CreateFleetInput.ClientToken":  {bound: bound{max: 64, pattern: `[\x00-\x7F]*`}},
	"ec2 RunInstancesInput.ClientToken": {bound: bound{max: 64, pattern: `[\x00-\x7F]*`}},
	// "Constraint: Maximum 128 ASCII characters."
	"ec2 CreateLaunchTemplateInput.ClientToken": {bound: bound{max: 128, pattern: `[\x00-\x7F]*`}},
	// "Possible values: Integers from 1 to 64"
	"ec2 LaunchTemplateInstanceMetadataOptionsRequest.HttpPutResponseHopLimit": {bound: bound{min: 1, max: 64}},
	// "Min: 60 seconds. Max: 432000 seconds (5 days)."
	"ec2 ConnectionTrackingSpecificationRequest.TcpEstablishedTimeout": {bound: bound{min: 60, max: 432000}},
	// "Min: 60 seconds. Max: 180 seconds (3 minutes)."
	"ec2 ConnectionTrackingSpecificationRequest.UdpStreamTimeout": {bound: bound{min: 60, max: 180}},
	// "Min: 30 seconds. Max: 60 seconds."
	"ec2 ConnectionTrackingSpecificationRequest.UdpTimeout": {bound: bound{min: 30, max: 60}},
	// "Valid values: interface | efa | efa-only"
	"ec2 LaunchTemplateInstanceNetworkInterfaceSpecificationRequest.InterfaceType": {bound: bound{pattern: interfaceTypes}},
	"ec2 InstanceNetworkInterfaceSpecification.InterfaceType":                      {bound: bound{pattern: interfaceTypes}},
	// "Valid Range: Minimum value of 125. Maximum value of 2,000.", "Valid range: 100 - 300 MiB/s"
	"ec2 LaunchTemplateEbsBlockDeviceRequest.Throughput":               {bound: bound{min: 125, max: 2000}},
	"ec2 LaunchTemplateEbsBlockDeviceRequest.VolumeInitializationRate": {bound: bound{min: 100, max: 300}},
	// 128 characters, says the guide ("Tag your Amazon EC2 resources"); the comment says 127.
	"ec2 Tag.Key": {bound: bound{min: 1, max: 128}},
	// "a maximum of 256 Unicode characters"
	"ec2 Tag.Value": {bound: bound{max: 256}},
	// "Valid values: 1 to 10"; the limits of waiting, visibility and names are in SQS's guide.
	"sqs ReceiveMessageInput.MaxNumberOfMessages": {bound: bound{min: 1, max: 10}},
	"sqs ReceiveMessageInput.WaitTimeSeconds":     {bound: bound{max: 20}},
	"sqs ReceiveMessageInput.VisibilityTimeout":   {bound: bound{max: 43200}},
	"sqs GetQueueUrlInput.QueueName":              {bound: bound{min: 1, max: 80}},
}

// apply puts a documented bound on a member.
func (b bounds) apply(service, name string, m *apimodel.Member) {
	e := b[service+" "+name]
	if e == nil {
		return
	}
	e.used = true
	if e.min != 0 {
		m.Min = &e.min
	}
	if e.max != 0 {
		m.Max = &e.max
	}
	m.Pattern = cmp.Or(e.pattern, m.Pattern)
}

// unused lists the bounds of a service whose member nothing has.
func (b bounds) unused(service string) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if strings.HasPrefix(name, service+" ") && !b[name].used {
			out = append(out, name)
		}
	}
	return out
}
