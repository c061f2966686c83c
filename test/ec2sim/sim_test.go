package ec2sim

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A harness is a server and the SDK's own client of it, configured by nothing but
// the environment that a child process would get.
type harness struct {
	*Server
	t   *testing.T
	aws aws.Config
	ec2 *ec2.Client
}

// start runs a server for a test. Delays are none unless o says so, and so is
// Forget an hour.
func start(t *testing.T, o Options) *harness {
	t.Helper()
	if o.Delays == nil {
		o.Delays = &Delays{Forget: time.Hour}
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, kv := range s.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	c, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &harness{s, t, c, ec2.NewFromConfig(c, func(o *ec2.Options) { o.RetryMaxAttempts = 1 })}
}

// code is the error code of an API error, and "" of no error.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("not an API error: %v", err)
	}
	return e.ErrorCode()
}

// template makes a launch template for a plain amd64 node; change may be nil.
func (h *harness) template(name string, change func(*types.RequestLaunchTemplateData)) {
	h.t.Helper()
	d := &types.RequestLaunchTemplateData{
		ImageId:            aws.String(h.image("amd64")),
		SecurityGroupIds:   []string{h.world.SecurityGroups[0].ID},
		IamInstanceProfile: &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("test-node")},
		UserData:           aws.String(base64.StdEncoding.EncodeToString([]byte("nothing of use"))),
	}
	if change != nil {
		change(d)
	}
	if _, err := h.ec2.CreateLaunchTemplate(h.t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &name, LaunchTemplateData: d}); err != nil {
		h.t.Fatal(err)
	}
}

// image is the newest AL2023 standard image.
func (h *harness) image(arch string) string {
	id, _ := h.parameter("/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/" + wireArch(arch) + "/standard" + recommended)
	return id
}

// fleet is a CreateFleet request for one instance from the given pools.
func (h *harness) fleet(template, token string, pools ...cloudprovider.Offering) *ec2.CreateFleetInput {
	in := &ec2.CreateFleetInput{
		Type: types.FleetTypeInstant, ClientToken: &token,
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: &template, Version: aws.String("$Latest")},
		}},
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{
			TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: types.DefaultTargetCapacityType(pools[0].CapacityType),
		},
		SpotOptions: &types.SpotOptionsRequest{AllocationStrategy: types.SpotAllocationStrategyPriceCapacityOptimized},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{
			{Key: aws.String("karpenter.sh/nodeclaim"), Value: aws.String(token)},
		}}},
	}
	for _, p := range pools {
		subnet := ""
		for _, n := range h.world.Subnets {
			if n.Zone == p.Zone {
				subnet = n.ID
			}
		}
		in.LaunchTemplateConfigs[0].Overrides = append(in.LaunchTemplateConfigs[0].Overrides, types.FleetLaunchTemplateOverridesRequest{
			InstanceType: types.InstanceType(p.InstanceType), SubnetId: &subnet, AvailabilityZone: aws.String(p.Zone),
		})
	}
	return in
}

// pool is an offering in the region's zone with the given letter.
func pool(instanceType, letter, capacityType string) cloudprovider.Offering {
	return cloudprovider.Offering{InstanceType: instanceType, Zone: "us-west-2" + letter, CapacityType: capacityType}
}

// launch has a fleet launch one instance, and returns its ID.
func (h *harness) launch(in *ec2.CreateFleetInput) string {
	h.t.Helper()
	out, err := h.ec2.CreateFleet(h.t.Context(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(out.Instances) != 1 || len(out.Instances[0].InstanceIds) != 1 {
		h.t.Fatalf("want one instance, got %+v with errors %+v", out.Instances, out.Errors)
	}
	return out.Instances[0].InstanceIds[0]
}

// eventually waits for something to become true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came true: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
