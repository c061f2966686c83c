package apimodel

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// fleet is a good CreateFleet, as a query string.
const fleet = "Action=CreateFleet&Version=2016-11-15&Type=instant&ClientToken=abc&TargetCapacitySpecification.TotalTargetCapacity=1" +
	"&LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=lt-a&LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=$Latest" +
	"&LaunchTemplateConfigs.1.Overrides.1.InstanceType=m5.large&LaunchTemplateConfigs.1.Overrides.1.Priority=1.5" +
	"&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value="

// TestForms: requests that the model lets pass, and what it says of others. Each row of a
// fleet is the good one with a change.
func TestForms(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString("x")
		}
		return b.String()
	}
	for _, row := range []struct{ service, action, add, member, kind, says string }{
		{"ec2", "CreateFleet", "", "", "", ""},
		{"ec2", "CreateFleet", "DryRun=true&ValidUntil=2026-01-02T03:04:05Z", "", "", ""},
		{"ec2", "CreateFleet", "Typ=instant", "Typ", Unknown, "CreateFleetInput has no such member"},
		{"ec2", "CreateFleet", "LaunchTemplateConfigs.1.Overrides.1.Zone=a", "LaunchTemplateConfigs.1.Overrides.1.Zone", Unknown, "no such member"},
		{"ec2", "CreateFleet", "LaunchTemplateConfigs.1.Overrides.3.SubnetId=s", "LaunchTemplateConfigs.1.Overrides", Invalid, "without gaps; 2 is not there"},
		{"ec2", "CreateFleet", "Type=now", "Type", Invalid, `"now" is none of the values of FleetType`},
		{"ec2", "CreateFleet", "ClientToken=" + many(64), "", "", ""},
		{"ec2", "CreateFleet", "ClientToken=" + many(65), "ClientToken", Invalid, "65 characters, at most 64"},
		{"ec2", "CreateFleet", "ClientToken=%C3%A4", "ClientToken", Invalid, "does not match"},
		{"ec2", "CreateFleet", "TargetCapacitySpecification.TotalTargetCapacity=one", "TargetCapacitySpecification.TotalTargetCapacity", Invalid, `"one" is no integer`},
		{"ec2", "CreateFleet", "TargetCapacitySpecification.TotalTargetCapacity=1.5", "TargetCapacitySpecification.TotalTargetCapacity", Invalid, "no integer"},
		{"ec2", "CreateFleet", "TargetCapacitySpecification.TotalTargetCapacity=", "TargetCapacitySpecification.TotalTargetCapacity", Invalid, "no integer"},
		{"ec2", "CreateFleet", "LaunchTemplateConfigs.1.Overrides.1.Priority=x", "LaunchTemplateConfigs.1.Overrides.1.Priority", Invalid, "no float"},
		{"ec2", "CreateFleet", "DryRun=yes", "DryRun", Invalid, "no boolean"},
		{"ec2", "CreateFleet", "ValidUntil=tomorrow", "ValidUntil", Invalid, "no timestamp"},
		{"ec2", "CreateFleet", "Context.Id=x", "Context", Invalid, "has no members"},
		{"ec2", "CreateFleet", "TagSpecification.1.Tag.1.Key=" + many(129), "TagSpecification.1.Tag.1.Key", Invalid, "129 characters, at most 128"},
		{"ec2", "CreateFleet", "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=ab", "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", Invalid, "2 characters, at least 3"},
		{"ec2", "CreateLaunchTemplate", "LaunchTemplateName=abc", "LaunchTemplateData", Missing, "CreateLaunchTemplateInput must have it"},
		{"ec2", "CreateLaunchTemplate", "LaunchTemplateName=a%20b&LaunchTemplateData.ImageId=ami-1", "LaunchTemplateName", Invalid, "does not match"},
		{"ec2", "CreateLaunchTemplate", "LaunchTemplateName=abc&LaunchTemplateData.CpuOptions.NestedVirtualization=on", "LaunchTemplateData.CpuOptions.NestedVirtualization", Invalid, "none of the values"},
		{"ec2", "CreateLaunchTemplate", "LaunchTemplateName=abc&LaunchTemplateData.NetworkInterface.1.ConnectionTrackingSpecification.UdpTimeout=10", "LaunchTemplateData.NetworkInterface.1.ConnectionTrackingSpecification.UdpTimeout", Invalid, "10, at least 30"},
		{"ec2", "CreateLaunchTemplate", "LaunchTemplateName=abc&LaunchTemplateData.NetworkInterface.1.InterfaceType=efa-only", "", "", ""},
		{"ec2", "DescribeInstanceTypes", "MaxResults=100", "", "", ""},
		{"ec2", "DescribeInstanceTypes", "MaxResults=101", "MaxResults", Invalid, "101, at most 100"},
		{"ec2", "StopInstances", "", "(operation)", Unknown, "does not have it"},
		{"iam", "CreateInstanceProfile", "InstanceProfileName=a&Path=/x/&Tags.member.1.Key=k&Tags.member.1.Value=v", "", "", ""},
		{"iam", "CreateInstanceProfile", "InstanceProfileName=a&Path=x", "Path", Invalid, "does not match"},
		{"iam", "CreateInstanceProfile", "InstanceProfileName=a&Tags.1.Key=k", "Tags", Invalid, "member.1"},
		{"iam", "CreateInstanceProfile", "InstanceProfileName=a&Tags.member.1.Key=k", "Tags.member.1.Value", Missing, "Tag must have it"},
		{"iam", "GetInstanceProfile", "", "InstanceProfileName", Missing, "must have it"},
	} {
		form, err := url.ParseQuery(row.add)
		if err != nil {
			t.Fatal(err)
		}
		if row.action == "CreateFleet" {
			good, err := url.ParseQuery(fleet)
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range form {
				good[key] = value
			}
			form = good
		}
		compare(t, row.service+" "+row.action+" "+row.add, CheckForm(row.service, row.action, form), Error{"", row.member, row.kind, row.says})
	}
}

// compare holds an error against what was to come: none if the kind is empty.
func compare(t *testing.T, name string, err error, want Error) {
	t.Helper()
	if want.Kind == "" {
		if err != nil {
			t.Errorf("%s: refused: %v", name, err)
		}
		return
	}
	bad, ok := errors.AsType[*Error](err)
	if !ok || bad.Member != want.Member || bad.Kind != want.Kind || !strings.Contains(bad.Problem, want.Problem) || !strings.Contains(bad.Error(), bad.Operation+": "+bad.Member) {
		t.Errorf("%s: %v, want %s of %s: %s", name, err, want.Kind, want.Member, want.Problem)
	}
}

func TestBodies(t *testing.T) {
	for _, row := range []struct{ service, action, body, member, kind, says string }{
		{"sqs", "ReceiveMessage", `{"QueueUrl":"u","MaxNumberOfMessages":10,"MessageSystemAttributeNames":["All"]}`, "", "", ""},
		{"sqs", "ReceiveMessage", `{"QueueUrl":"u","MaxNumberOfMessages":11}`, "MaxNumberOfMessages", Invalid, "11, at most 10"},
		{"sqs", "ReceiveMessage", `{"QueueUrl":"u","MessageSystemAttributeNames":["All","Some"]}`, "MessageSystemAttributeNames.2", Invalid, "none of the values"},
		{"sqs", "ReceiveMessage", `{"QueueUrl":"u","MessageSystemAttributeNames":"All"}`, "MessageSystemAttributeNames", Invalid, "no list"},
		{"sqs", "DeleteMessage", `{"QueueUrl":"u"}`, "ReceiptHandle", Missing, "must have it"},
		{"sqs", "DeleteMessage", `{"QueueUrl":null,"ReceiptHandle":"r"}`, "QueueUrl", Missing, "must have it"},
		{"ssm", "GetParameter", `{"Name":"/aws/x","With":true}`, "With", Unknown, "no such member"},
		{"ssm", "GetParameter", `{`, "(body)", Invalid, "unexpected"},
		{"ssm", "GetParameter", `["Name"]`, "(request)", Invalid, "no structure"},
		{"pricing", "GetProducts", `{"ServiceCode":"AmazonEC2","Filters":[{"Type":"TERM_MATCH","Field":"f","Value":"v"}],"MaxResults":100}`, "", "", ""},
		{"pricing", "GetProducts", `{"ServiceCode":"AmazonEC2","MaxResults":0}`, "MaxResults", Invalid, "0, at least 1"},
		{"pricing", "GetProducts", `{"ServiceCode":"AmazonEC2","Filters":[{"Type":"TERM_MATCH","Field":"f"}]}`, "Filters.1.Value", Missing, "must have it"},
		{"eks", "DescribeCluster", `{"name":"c"}`, "", "", ""},
		{"eks", "DescribeCluster", ``, "name", Missing, "must have it"},
	} {
		compare(t, row.service+" "+row.action+" "+row.body, CheckJSON(row.service, row.action, []byte(row.body)), Error{"", row.member, row.kind, row.says})
	}
}

// TestCalls: a call of the SDK's is checked as its request, which is not sent.
func TestCalls(t *testing.T) {
	fleet := &ec2.CreateFleetInput{Type: "instant", TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1)}}
	create := func(c *ec2.Client) error { _, err := c.CreateFleet(t.Context(), fleet); return err }
	if err := CheckEC2(create); err == nil || !strings.Contains(err.Error(), "LaunchTemplateConfigs") {
		t.Errorf("the SDK's own check: %v", err)
	}
	fleet.LaunchTemplateConfigs = []types.FleetLaunchTemplateConfigRequest{{LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: aws.String("abc")}}}
	compare(t, "good", CheckEC2(create), Error{})
	fleet.Type = "now"
	compare(t, "bad", CheckEC2(create), Error{"", "Type", Invalid, "none of the values"})
}

// TestModelIsWhole: every shape that is named is there, and every pattern can be read.
func TestModelIsWhole(t *testing.T) {
	bounded := 0
	for name, s := range load().Services {
		for operation, input := range s.Operations {
			if s.Structures[input] == nil {
				t.Errorf("%s:%s: %s is not there", name, operation, input)
			}
		}
		for shape, members := range s.Structures {
			for member, m := range members {
				for m.Of != nil {
					m = *m.Of
				}
				if _, err := pattern(m.Pattern); err != nil {
					t.Errorf("%s %s.%s: %v", name, shape, member, err)
				}
				if m.Kind == "structure" && s.Structures[m.Shape] == nil || m.Kind == "string" && m.Shape != "" && len(s.Enums[m.Shape]) == 0 || m.Kind == "list" || m.Kind == "" {
					t.Errorf("%s %s.%s: %+v", name, shape, member, m)
				}
				if m.Min != nil || m.Max != nil || m.Pattern != "" {
					bounded++
				}
			}
		}
	}
	if len(Sources()) < 8 || bounded < 40 {
		t.Errorf("%d sources, %d bounded members: were the earlier models read?", len(Sources()), bounded)
	}
}
