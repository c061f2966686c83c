package ec2sim

import (
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// TestEveryActionIsModelled: what the simulator answers is what the model knows.
func TestEveryActionIsModelled(t *testing.T) {
	want := slices.Sorted(maps.Keys(ec2Actions))
	got := slices.Sorted(maps.Keys(apimodel.Operations()["ec2"]))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the actions of EC2 (-simulated +modelled):\n%s", diff)
	}
}

// TestRequestsAreChecked: what the SDK lets through and EC2 would not is refused before it
// has an effect, with the names of operation and member.
func TestRequestsAreChecked(t *testing.T) {
	h := start(t, Options{Types: FewTypes()})
	name := func(s string, data *types.RequestLaunchTemplateData) func() error {
		return func() error {
			_, err := h.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &s, LaunchTemplateData: data})
			return err
		}
	}
	h.refused([]refusal{
		{"InvalidParameterValue", name("enum", &types.RequestLaunchTemplateData{MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "sometimes"}})},
		{"InvalidParameterValue", name("range", &types.RequestLaunchTemplateData{MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(65)}})},
		{"InvalidLaunchTemplateName.MalformedException", name("ab", &types.RequestLaunchTemplateData{})},
		{"InvalidParameterValue", func() error {
			_, err := h.ec2.DescribeLaunchTemplates(t.Context(), &ec2.DescribeLaunchTemplatesInput{MaxResults: aws.Int32(201)})
			return err
		}},
	})
	out, err := h.ec2.DescribeLaunchTemplates(t.Context(), &ec2.DescribeLaunchTemplatesInput{})
	if err != nil || len(out.LaunchTemplates) != 0 {
		t.Errorf("%d templates were made by requests that were refused (%v)", len(out.LaunchTemplates), err)
	}
}
