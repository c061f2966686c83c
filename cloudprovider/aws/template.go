package aws

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A template is a launch template by content: its name is a hash of everything
// in it, so two of one name are the same, and none is ever changed.
type template struct {
	name string
	data *types.RequestLaunchTemplateData
	tags map[string]string
	// class is the name of its EC2NodeClass, userDataBytes the length of its user data before base64.
	class         string
	userDataBytes int
}

// template returns what an instance of class c is launched with, given its image,
// capacity type and reservation, and the most pods that it runs.
func (p *Provider) template(c *Class, r cloudprovider.LaunchRequest, pl placement) (template, error) {
	b := bootstrap{cluster: p.Cluster, spec: &c.Spec, image: pl.image.Name, taints: r.Taints, maxPods: pl.pods, labels: joinLabels(c, r, pl)}
	userData, err := b.userData()
	if err != nil {
		return template{}, err
	}
	disks, err := disks(&c.Spec)
	if err != nil {
		return template{}, err
	}
	data := &types.RequestLaunchTemplateData{
		ImageId:             sdk.String(pl.image.ID),
		IamInstanceProfile:  &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: sdk.String(c.InstanceProfile)},
		BlockDeviceMappings: disks,
		MetadataOptions:     metadataOptions(c.Spec.MetadataOptions),
		CpuOptions:          cpuOptions(c.Spec.CPUOptions),
		Monitoring:          &types.LaunchTemplatesMonitoringRequest{Enabled: sdk.Bool(sdk.ToBool(c.Spec.DetailedMonitoring))},
	}
	if userData != "" {
		data.UserData = sdk.String(base64.StdEncoding.EncodeToString([]byte(userData)))
	}
	if data.NetworkInterfaces = interfaces(c, pl.efas, pl.efaCard); data.NetworkInterfaces == nil {
		data.SecurityGroupIds = c.SecurityGroups
	}
	data.Placement = placementRequest(pl.offering)
	if slices.Contains(r.Extended, resourceNitroSandbox) {
		data.EnclaveOptions = &types.LaunchTemplateEnclaveOptionsRequest{Enabled: sdk.Bool(true)}
	}
	tags := p.sharedTags(c, r)
	data.TagSpecifications = []types.LaunchTemplateTagSpecificationRequest{{ResourceType: types.ResourceTypeNetworkInterface, Tags: ec2Tags(tags)}}
	if p.ReservedCapacity {
		data.CapacityReservationSpecification, data.InstanceMarketOptions = takesFrom(pl.reservation)
	}
	if pl.offering.CapacityType == cloudprovider.Spot {
		data.TagSpecifications = append(data.TagSpecifications, types.LaunchTemplateTagSpecificationRequest{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: ec2Tags(tags)})
	}
	name, err := contentName(c, data)
	return template{name: name, data: data, tags: tags, class: c.Name, userDataBytes: len(userData)}, err
}

// takesFrom says that an instance is to come from a reservation and no other. One without
// keeps out of those that are open to all: who says what a machine is for has not asked
// for them, and they would be used up behind the back of those who have.
func takesFrom(r *Reservation) (*types.LaunchTemplateCapacityReservationSpecificationRequest, *types.LaunchTemplateInstanceMarketOptionsRequest) {
	if r == nil {
		return &types.LaunchTemplateCapacityReservationSpecificationRequest{CapacityReservationPreference: types.CapacityReservationPreferenceNone}, nil
	}
	var market *types.LaunchTemplateInstanceMarketOptionsRequest
	switch {
	case r.ReservationType == v1.ReservationBlock:
		market = &types.LaunchTemplateInstanceMarketOptionsRequest{MarketType: types.MarketTypeCapacityBlock}
	case r.Interruptible:
		market = &types.LaunchTemplateInstanceMarketOptionsRequest{MarketType: types.MarketTypeInterruptibleCapacityReservation}
	}
	return &types.LaunchTemplateCapacityReservationSpecificationRequest{
		CapacityReservationPreference: types.CapacityReservationPreferenceCapacityReservationsOnly,
		CapacityReservationTarget:     &types.CapacityReservationTarget{CapacityReservationId: sdk.String(r.ID)},
	}, market
}

// contentName is the launch template's name. The class is part of it, since the
// templates of a class are deleted with it.
func contentName(c *Class, data *types.RequestLaunchTemplateData) (string, error) {
	content, err := json.Marshal(struct {
		UID  string
		Data *types.RequestLaunchTemplateData
	}{c.UID, data})
	if err != nil {
		return "", fmt.Errorf("hashing a launch template: %w", err)
	}
	sum := sha256.Sum256(content)
	return v1.LaunchTemplatePrefix + hex.EncodeToString(sum[:12]), nil
}

// joinLabels are the labels that a node registers with: the request's, and what
// only the launch knows.
func joinLabels(c *Class, r cloudprovider.LaunchRequest, pl placement) map[string]string {
	labels := map[string]string{v1.LabelNodeClass: c.Name, labelCapacityType: pl.offering.CapacityType}
	if c.Spec.Family() != v1.AMIFamilyCustom {
		// The node brings all of its taints along; nobody has to add them.
		labels[labelDoNotSyncTaints] = "true"
	}
	for k, v := range r.Labels {
		if k != labelCapacityType {
			labels[k] = v
		}
	}
	if pl.reservation != nil {
		maps.Copy(labels, pl.reservation.labels())
	}
	maps.Copy(labels, c.PlacementGroup.placements()[pl.offering.Placement])
	if pl.offering.Tenancy != "" {
		labels[v1.LabelInstanceTenancy] = pl.offering.Tenancy
	}
	return labels
}

// Names of karpenter.sh; its package of names is above this one.
const (
	taintUnregistered    = "karpenter.sh/unregistered"
	labelCapacityType    = "karpenter.sh/capacity-type"
	labelDoNotSyncTaints = "karpenter.sh/do-not-sync-taints"
)

// ensure makes t exist. A name that is taken already holds the same content.
func (p *Provider) ensure(ctx context.Context, t template) error {
	p.used.add(t.name)
	_, err := p.templates.get(ctx, t.name, func(ctx context.Context) (struct{}, error) {
		_, err := p.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
			LaunchTemplateName: sdk.String(t.name),
			LaunchTemplateData: t.data,
			TagSpecifications:  []types.TagSpecification{{ResourceType: types.ResourceTypeLaunchTemplate, Tags: ec2Tags(t.tags)}},
		})
		if err != nil && code(err) != codeTemplateThere {
			return struct{}{}, fmt.Errorf("creating launch template %s: %w", t.name, err)
		}
		p.meter().UserData(t.class, t.userDataBytes)
		return struct{}{}, nil
	})
	return err
}

// disks converts the spec's disks. Without any there are those of the family; an
// image of the user's own has what it says itself.
func disks(spec *v1.EC2NodeClassSpec) ([]types.LaunchTemplateBlockDeviceMappingRequest, error) {
	var out []types.LaunchTemplateBlockDeviceMappingRequest
	if len(spec.BlockDeviceMappings) == 0 {
		for _, v := range families[spec.Family()].volumes {
			if v.device != "" {
				out = append(out, types.LaunchTemplateBlockDeviceMappingRequest{DeviceName: sdk.String(v.device), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{
					Encrypted: sdk.Bool(true), VolumeType: types.VolumeTypeGp3, VolumeSize: sdk.Int32(int32(v.gib)), DeleteOnTermination: sdk.Bool(true),
				}})
			}
		}
	}
	for i, m := range spec.BlockDeviceMappings {
		d := types.LaunchTemplateBlockDeviceMappingRequest{DeviceName: optional(m.DeviceName)}
		if m.EBS != nil {
			ebs, err := volume(m.EBS)
			if err != nil {
				return nil, fmt.Errorf("spec.blockDeviceMappings[%d].ebs: %w", i, err)
			}
			d.Ebs = ebs
		}
		out = append(out, d)
	}
	return out, nil
}

func volume(b *v1.BlockDevice) (*types.LaunchTemplateEbsBlockDeviceRequest, error) {
	out := &types.LaunchTemplateEbsBlockDeviceRequest{
		DeleteOnTermination:      b.DeleteOnTermination,
		Encrypted:                b.Encrypted,
		KmsKeyId:                 optional(b.KMSKeyID),
		SnapshotId:               optional(b.SnapshotID),
		VolumeType:               types.VolumeType(b.VolumeType),
		VolumeInitializationRate: b.VolumeInitializationRate,
	}
	if b.IOPS != nil {
		out.Iops = sdk.Int32(int32(*b.IOPS))
	}
	if b.Throughput != nil {
		out.Throughput = sdk.Int32(int32(*b.Throughput))
	}
	size, err := b.VolumeGiB()
	if size > 0 {
		out.VolumeSize = sdk.Int32(int32(size))
	}
	return out, err
}

// metadataOptions converts m. What is unset is as the API server defaults it;
// tags are never readable from inside a node.
func metadataOptions(m *v1.MetadataOptions) *types.LaunchTemplateInstanceMetadataOptionsRequest {
	out := &types.LaunchTemplateInstanceMetadataOptionsRequest{
		HttpEndpoint:            types.LaunchTemplateInstanceMetadataEndpointStateEnabled,
		HttpProtocolIpv6:        types.LaunchTemplateInstanceMetadataProtocolIpv6Disabled,
		HttpPutResponseHopLimit: sdk.Int32(1),
		HttpTokens:              types.LaunchTemplateHttpTokensStateRequired,
		InstanceMetadataTags:    types.LaunchTemplateInstanceMetadataTagsStateDisabled,
	}
	if m == nil {
		return out
	}
	if m.HTTPEndpoint != "" {
		out.HttpEndpoint = types.LaunchTemplateInstanceMetadataEndpointState(m.HTTPEndpoint)
	}
	if m.HTTPProtocolIPv6 != "" {
		out.HttpProtocolIpv6 = types.LaunchTemplateInstanceMetadataProtocolIpv6(m.HTTPProtocolIPv6)
	}
	if m.HTTPPutResponseHopLimit != nil {
		out.HttpPutResponseHopLimit = sdk.Int32(int32(*m.HTTPPutResponseHopLimit))
	}
	if m.HTTPTokens != "" {
		out.HttpTokens = types.LaunchTemplateHttpTokensState(m.HTTPTokens)
	}
	return out
}

// optional is nil for "", as EC2 wants what is not said.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
