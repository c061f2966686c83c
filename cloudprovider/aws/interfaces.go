package aws

import (
	"cmp"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// An interfaceRequest is a network interface as a launch template asks for it.
type interfaceRequest = types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest

// The kinds of network interfaces in EC2's words: with EFA and IP, and with EFA alone.
const (
	interfaceEFA     = "efa"
	interfaceEFAOnly = "efa-only"
)

// efaCard is the first network card of a type that has an EFA. EC2 does not tell which have one; where a type has
// more cards than EFAs, the first is for the primary interface alone (EC2 User Guide, "Maximize network
// bandwidth on Amazon EC2 instances with multiple network cards").
func (p *Provider) efaCard(instanceType string) int32 {
	for _, t := range p.Inventory.current.Load().types {
		if t.Name == instanceType && t.EFAs < t.NetworkCards {
			return 1
		}
	}
	return 0
}

// interfaces are the network interfaces of a machine with so many EFAs, the first of them on card efaCard, the
// primary one first; none
// where EC2 makes the one interface that every machine has, by itself. Those of the class go before
// EFAs. The security groups belong to each interface then: EC2 does not take them besides.
func interfaces(c *Class, efas int64, efaCard int32) []interfaceRequest {
	spec := &c.Spec
	var all []interfaceRequest
	switch {
	case len(spec.NetworkInterfaces) > 0:
		for _, i := range spec.NetworkInterfaces {
			r := interfaceRequest{NetworkCardIndex: sdk.Int32(i.NetworkCardIndex), DeviceIndex: sdk.Int32(i.DeviceIndex)}
			if i.InterfaceType == v1.InterfaceTypeEFAOnly {
				r.InterfaceType = sdk.String(interfaceEFAOnly)
			}
			all = append(all, r)
		}
		slices.SortFunc(all, func(a, b interfaceRequest) int {
			return cmp.Or(cmp.Compare(*a.NetworkCardIndex, *b.NetworkCardIndex), cmp.Compare(*a.DeviceIndex, *b.DeviceIndex))
		})
	case efas > 0 && efaCard > 0:
		all = []interfaceRequest{{NetworkCardIndex: sdk.Int32(0), DeviceIndex: sdk.Int32(0)}}
		for n := range int32(efas) {
			all = append(all, interfaceRequest{NetworkCardIndex: sdk.Int32(efaCard + n), DeviceIndex: sdk.Int32(0), InterfaceType: sdk.String(interfaceEFAOnly)})
		}
	case efas > 0:
		// One on each card. Beyond the first card device 0 is not the primary interface's index.
		for n := range int32(efas) {
			all = append(all, interfaceRequest{NetworkCardIndex: sdk.Int32(n), DeviceIndex: sdk.Int32(min(n, 1)), InterfaceType: sdk.String(interfaceEFA)})
		}
	case spec.AssociatePublicIPAddress != nil || spec.IPPrefixCount != nil || spec.ConnectionTracking != nil:
		all = []interfaceRequest{{DeviceIndex: sdk.Int32(0)}}
	default:
		return nil
	}
	for i := range all {
		all[i].Groups = c.SecurityGroups
		if sdk.ToString(all[i].InterfaceType) != interfaceEFAOnly {
			all[i].ConnectionTrackingSpecification = tracking(spec.ConnectionTracking)
		}
	}
	if n := sdk.ToInt32(spec.IPPrefixCount); n > 0 {
		all[0].Ipv4PrefixCount = sdk.Int32(n)
	}
	if len(all) == 1 { // EC2 lets a machine with more interfaces say nothing of it: it has no public address
		all[0].AssociatePublicIpAddress = spec.AssociatePublicIPAddress
	}
	return all
}

// tracking converts when idle connections are forgotten.
func tracking(t *v1.ConnectionTracking) *types.ConnectionTrackingSpecificationRequest {
	if t == nil {
		return nil
	}
	return &types.ConnectionTrackingSpecificationRequest{TcpEstablishedTimeout: t.TCPEstablishedTimeout, UdpStreamTimeout: t.UDPStreamTimeout, UdpTimeout: t.UDPTimeout}
}

// cpuOptions turns nested virtualization on. Off is what it is anyway, and types that do not have
// it need not be told.
func cpuOptions(o *v1.CPUOptions) *types.LaunchTemplateCpuOptionsRequest {
	if o == nil || o.NestedVirtualization != string(types.NestedVirtualizationSpecificationEnabled) {
		return nil
	}
	return &types.LaunchTemplateCpuOptionsRequest{NestedVirtualization: types.NestedVirtualizationSpecificationEnabled}
}
