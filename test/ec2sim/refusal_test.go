package ec2sim

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A refusal is a call and the code that it is refused with.
type refusal struct {
	want string
	call func() error
}

// refused makes the calls, none of which may launch anything.
func (h *harness) refused(rows []refusal) {
	h.t.Helper()
	for n, r := range rows {
		if got := code(h.t, r.call()); got != r.want {
			h.t.Errorf("row %d: %s, want %s", n, got, r.want)
		}
	}
	if n := len(h.Instances()); n != 0 {
		h.t.Errorf("%d instances were launched by refused requests", n)
	}
}

// TestFleetRefusals is what CreateFleet and launch templates refuse as a whole.
func TestFleetRefusals(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.template("good", nil)
	long := strings.Repeat("x", 65)
	od := pool("m5.large", "a", cloudprovider.OnDemand)
	fleet := func(change func(*ec2.CreateFleetInput)) func() error {
		return func() error {
			in := h.fleet("good", "refused", od)
			change(in)
			_, err := h.ec2.CreateFleet(t.Context(), in)
			return err
		}
	}
	h.refused([]refusal{
		{"InvalidLaunchTemplateName.NotFoundException", func() error {
			_, err := h.ec2.CreateFleet(t.Context(), h.fleet("missing", "t", od))
			return err
		}},
		{"InvalidLaunchTemplateName.AlreadyExistsException", func() error {
			_, err := h.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("good"), LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String("ami-1")}})
			return err
		}},
		{"InvalidLaunchTemplateName.MalformedException", func() error {
			_, err := h.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("no blanks"), LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String("ami-1")}})
			return err
		}},
		{"InvalidUserData.Malformed", func() error {
			_, err := h.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("raw"), LaunchTemplateData: &types.RequestLaunchTemplateData{UserData: aws.String("#!/bin/sh")}})
			return err
		}},
		{"InvalidFleetConfig", fleet(func(in *ec2.CreateFleetInput) {
			o := in.LaunchTemplateConfigs[0].Overrides
			in.LaunchTemplateConfigs[0].Overrides = append(o, o[0])
		})},
		{"InvalidFleetConfig", fleet(func(in *ec2.CreateFleetInput) {
			in.LaunchTemplateConfigs[0].Overrides[0].AvailabilityZone = aws.String("us-west-2b")
		})},
		{"InvalidParameterValue", fleet(func(in *ec2.CreateFleetInput) { in.ClientToken = &long })},
		{"InvalidParameterValue", fleet(func(in *ec2.CreateFleetInput) { in.SpotOptions.AllocationStrategy = "cheapest" })},
		{"InvalidParameterValue", fleet(func(in *ec2.CreateFleetInput) { in.TagSpecifications[0].ResourceType = "subnet" })},
		{"InvalidParameterValue", fleet(func(in *ec2.CreateFleetInput) { in.TagSpecifications[0].Tags[0].Key = aws.String("aws:mine") })},
		{"InvalidTargetCapacitySpecification", fleet(func(in *ec2.CreateFleetInput) {
			in.TargetCapacitySpecification.TotalTargetCapacity = aws.Int32(0)
		})},
		{"UnsupportedOperation", fleet(func(in *ec2.CreateFleetInput) { in.Type = types.FleetTypeMaintain })},
		{"DryRunOperation", fleet(func(in *ec2.CreateFleetInput) { in.DryRun = aws.Bool(true) })},
	})
}

// TestDescribeRefusals is what the other actions refuse.
func TestDescribeRefusals(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	h.refused([]refusal{
		{"InvalidSubnetID.NotFound", func() error {
			_, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-1"}})
			return err
		}},
		{"InvalidGroup.NotFound", func() error {
			_, err := h.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-1"}})
			return err
		}},
		{"InvalidAMIID.NotFound", func() error {
			_, err := h.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{"ami-1"}})
			return err
		}},
		{"InvalidInstanceType", func() error {
			_, err := h.ec2.DescribeInstanceTypes(t.Context(), &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m9.huge"}})
			return err
		}},
		{"InvalidInstanceID.Malformed", func() error {
			_, err := h.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"node-1"}})
			return err
		}},
		{"InvalidInstanceID.NotFound", func() error {
			_, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
			return err
		}},
		{"InvalidInstanceID.NotFound", func() error {
			_, err := h.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{"i-0123456789abcdef0"}, Tags: []types.Tag{{Key: aws.String("a")}}})
			return err
		}},
		{"InvalidParameterValue", func() error {
			_, err := h.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("colour"), Values: []string{"red"}}}})
			return err
		}},
		{"InvalidParameterValue", func() error {
			_, err := h.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1)})
			return err
		}},
		{"MissingParameter", func() error {
			_, err := h.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{}})
			return err
		}},
		{"InvalidAction", func() error {
			_, err := h.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
			return err
		}},
		{"AuthFailure", func() error {
			_, err := h.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{}, func(o *ec2.Options) { o.Region = "eu-west-1" })
			return err
		}},
		{"InvalidCapacityReservationId.NotFound", func() error {
			_, err := h.ec2.DescribeCapacityReservations(t.Context(), &ec2.DescribeCapacityReservationsInput{CapacityReservationIds: []string{"cr-1"}})
			return err
		}},
	})
}
