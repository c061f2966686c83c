package aws

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// made returns the content of the template of a class edited by edit.
func made(t *testing.T, capacityType string, edit func(*v1.EC2NodeClassSpec)) template {
	t.Helper()
	h := newHarness(t)
	c := testClass()
	edit(&c.Spec)
	got, err := h.template(c, h.request("m5.large/us-west-2a/spot"), placement{image: c.Images[0], pods: 29, offering: cloudprovider.Offering{CapacityType: capacityType}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var ignoreSerde = cmpopts.IgnoreUnexported(
	types.LaunchTemplateBlockDeviceMappingRequest{}, types.LaunchTemplateEbsBlockDeviceRequest{}, types.LaunchTemplateInstanceMetadataOptionsRequest{},
)

func TestTemplateOfAPlainClass(t *testing.T) {
	got := made(t, cloudprovider.OnDemand, func(*v1.EC2NodeClassSpec) {}).data
	if *got.ImageId != "ami-amd64" || *got.IamInstanceProfile.Name != "harbour_0123" || *got.Monitoring.Enabled || got.NetworkInterfaces != nil {
		t.Errorf("image %s, profile %s, monitoring %v, interfaces %v", *got.ImageId, *got.IamInstanceProfile.Name, *got.Monitoring.Enabled, got.NetworkInterfaces)
	}
	if diff := cmp.Diff([]string{"sg-1", "sg-2"}, got.SecurityGroupIds); diff != "" {
		t.Errorf("security groups:\n%s", diff)
	}
	if diff := cmp.Diff([]types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: sdk.String("/dev/xvda"), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{
		Encrypted: sdk.Bool(true), VolumeType: types.VolumeTypeGp3, VolumeSize: sdk.Int32(20), DeleteOnTermination: sdk.Bool(true),
	}}}, got.BlockDeviceMappings, ignoreSerde); diff != "" {
		t.Errorf("disks:\n%s", diff)
	}
	if diff := cmp.Diff(&types.LaunchTemplateInstanceMetadataOptionsRequest{
		HttpEndpoint: "enabled", HttpProtocolIpv6: "disabled", HttpPutResponseHopLimit: sdk.Int32(1), HttpTokens: "required", InstanceMetadataTags: "disabled",
	}, got.MetadataOptions, ignoreSerde); diff != "" {
		t.Errorf("metadata options:\n%s", diff)
	}
	data, err := base64.StdEncoding.DecodeString(*got.UserData)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"karpenter.sh/capacity-type=on-demand", "karpenter.k8s.aws/ec2nodeclass=default", "karpenter.sh/do-not-sync-taints=true", "karpenter.sh/nodepool=web", "maxPods: 29"} {
		if !strings.Contains(string(data), part) {
			t.Errorf("the user data lacks %s", part)
		}
	}
}

func TestTemplateOfAFullClass(t *testing.T) {
	yes, hop, n := true, int64(2), int64(5000)
	rate := int32(200)
	got := made(t, cloudprovider.Spot, func(s *v1.EC2NodeClassSpec) {
		s.DetailedMonitoring, s.AssociatePublicIPAddress = &yes, &yes
		s.MetadataOptions = &v1.MetadataOptions{HTTPEndpoint: "disabled", HTTPProtocolIPv6: "enabled", HTTPPutResponseHopLimit: &hop, HTTPTokens: "optional"}
		s.BlockDeviceMappings = []v1.BlockDeviceMapping{{DeviceName: "/dev/xvdb", EBS: &v1.BlockDevice{
			DeleteOnTermination: &yes, Encrypted: &yes, IOPS: &n, KMSKeyID: "key", SnapshotID: "snap-1", Throughput: &n, VolumeInitializationRate: &rate, VolumeSize: "100G", VolumeType: "io2",
		}}, {DeviceName: "/dev/xvdc"}}
	}).data
	if !*got.Monitoring.Enabled {
		t.Error("detailed monitoring is off")
	}
	// EC2 refuses groups beside an interface.
	if got.SecurityGroupIds != nil || len(got.NetworkInterfaces) != 1 || !*got.NetworkInterfaces[0].AssociatePublicIpAddress || len(got.NetworkInterfaces[0].Groups) != 2 {
		t.Errorf("groups %v, interfaces %+v", got.SecurityGroupIds, got.NetworkInterfaces)
	}
	if diff := cmp.Diff([]types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: sdk.String("/dev/xvdb"), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{
		DeleteOnTermination: &yes, Encrypted: &yes, Iops: sdk.Int32(5000), KmsKeyId: sdk.String("key"), SnapshotId: sdk.String("snap-1"), Throughput: sdk.Int32(5000),
		VolumeInitializationRate: &rate, VolumeSize: sdk.Int32(94), VolumeType: types.VolumeTypeIo2,
	}}, {DeviceName: sdk.String("/dev/xvdc")}}, got.BlockDeviceMappings, ignoreSerde); diff != "" {
		t.Errorf("disks:\n%s", diff)
	}
	if diff := cmp.Diff(&types.LaunchTemplateInstanceMetadataOptionsRequest{
		HttpEndpoint: "disabled", HttpProtocolIpv6: "enabled", HttpPutResponseHopLimit: sdk.Int32(2), HttpTokens: "optional", InstanceMetadataTags: "disabled",
	}, got.MetadataOptions, ignoreSerde); diff != "" {
		t.Errorf("metadata options:\n%s", diff)
	}
	if len(got.TagSpecifications) != 2 || got.TagSpecifications[1].ResourceType != types.ResourceTypeSpotInstancesRequest {
		t.Errorf("tagged are %+v", got.TagSpecifications)
	}
}

func TestTemplateNames(t *testing.T) {
	plain := made(t, cloudprovider.OnDemand, func(*v1.EC2NodeClassSpec) {}).name
	if again := made(t, cloudprovider.OnDemand, func(*v1.EC2NodeClassSpec) {}).name; again != plain {
		t.Errorf("the same content is %s and %s", plain, again)
	}
	if spot := made(t, cloudprovider.Spot, func(*v1.EC2NodeClassSpec) {}).name; spot == plain {
		t.Error("spot and on-demand nodes, which differ in a label, share a template")
	}
	if other := made(t, cloudprovider.OnDemand, func(s *v1.EC2NodeClassSpec) { s.UserData = "#!/bin/sh\n" }).name; other == plain {
		t.Error("other user data is the same template")
	}
	custom := made(t, cloudprovider.OnDemand, func(s *v1.EC2NodeClassSpec) { s.AMIFamily = v1.AMIFamilyCustom }).data
	if custom.UserData != nil || custom.BlockDeviceMappings != nil {
		t.Errorf("a Custom class without user data and disks has %v and %v", custom.UserData, custom.BlockDeviceMappings)
	}
}

func TestDefaultDisks(t *testing.T) {
	for family, want := range map[v1.AMIFamily]string{
		v1.AMIFamilyAL2: "/dev/xvda 20", v1.AMIFamilyAL2023: "/dev/xvda 20", v1.AMIFamilyBottlerocket: "/dev/xvda 4, /dev/xvdb 20", v1.AMIFamilyCustom: "",
		v1.AMIFamilyWindows2019: "/dev/sda1 50", v1.AMIFamilyWindows2022: "/dev/sda1 50", v1.AMIFamilyWindows2025: "/dev/sda1 50",
	} {
		disks, err := disks(&v1.EC2NodeClassSpec{AMIFamily: family})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range disks {
			got = append(got, fmt.Sprint(*d.DeviceName, " ", *d.Ebs.VolumeSize))
			if !*d.Ebs.Encrypted || !*d.Ebs.DeleteOnTermination || d.Ebs.VolumeType != types.VolumeTypeGp3 {
				t.Errorf("%s: disk %s is %+v, want an encrypted gp3 that goes with the machine", family, *d.DeviceName, d.Ebs)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: disks are %q, want %s", family, got, want)
		}
	}
}
