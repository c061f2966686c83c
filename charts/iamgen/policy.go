package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A document is one policy. There are several so that nobody has to give what is not used.
type document struct {
	name string // of the file, without .json
	when string // it is needed, as the end of a sentence
	// reads says that the document takes all Describe actions of EC2 that no other has. IAM
	// cannot restrict them to resources.
	reads      bool
	statements []statement
}

// A statement allows actions on resources, under conditions.
type statement struct {
	sid       string
	actions   []action
	resources []string
	condition condition
}

// A condition is an IAM condition: operator, key, values.
type condition map[string]map[string][]string

// An action is a right. Most are the name of a call that is made; others are asked for by
// IAM when a call is made that does more than one thing.
type action struct {
	name string
	// needs are the calls that cannot be made without the right; none means the call of
	// the same name.
	needs []string
	// why the right is needed, of one with needs.
	why string
}

// call is the right to make a call.
func call(names ...string) []action {
	var out []action
	for _, n := range names {
		out = append(out, action{name: n})
	}
	return out
}

// What is the user's: filled in by envsubst, or by hand.
const (
	partition = "${AWS_PARTITION}"
	region    = "${AWS_REGION}"
	account   = "${AWS_ACCOUNT_ID}"
	cluster   = "${CLUSTER_NAME}"
	nodeRole  = "${NODE_ROLE}"
	queue     = "${INTERRUPTION_QUEUE}"
)

// ec2 names resources of EC2 in the region; those of AWS and of others have no account.
func ec2(owner string, kinds ...string) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, "arn:"+partition+":ec2:"+region+":"+owner+":"+k+"/*")
	}
	return out
}

// tagged asks for the tags that everything of the cluster has, of what is there
// (aws:ResourceTag) or of what is asked for (aws:RequestTag), and for a tag that may have
// any value. What Karpenter made of old lacks the cluster's name as a value.
func tagged(of, any string) condition {
	c := condition{
		"StringEquals": {of + "/" + v1.TagClusterPrefix + cluster: {"owned"}},
		"StringLike":   {of + "/" + any: {"*"}},
	}
	if of == requestTag {
		c.with(of+"/"+v1.TagClusterName, cluster)
	}
	return c
}

// with adds a key to the equalities of a condition.
func (c condition) with(key string, values ...string) condition {
	c["StringEquals"][key] = values
	return c
}

// only asks that no other tags are set.
func (c condition) only(keys ...string) condition {
	c["ForAllValues:StringEquals"] = map[string][]string{"aws:TagKeys": keys}
	return c
}

const (
	resourceTag = "aws:ResourceTag"
	requestTag  = "aws:RequestTag"
)

// made is what a fleet makes, and what is tagged as it is made.
var made = []string{"fleet", "instance", "volume", "network-interface", "spot-instances-request"}

// runs is the right that CreateFleet needs besides its own, and of which a dry run tells.
var runs = action{"ec2:RunInstances", []string{"ec2:CreateFleet"}, "an instant fleet runs its instances in the caller's name"}

// profiles are the instance profiles of the cluster, by their path.
const profiles = "arn:" + partition + ":iam::" + account + ":instance-profile/karpenter/" + region + "/" + cluster + "/*"

// documents are all policies, before the reads are filled in.
func documents() []document {
	inRegion := condition{"StringEquals": {"aws:RequestedRegion": {region}}}
	pass := condition{"StringEquals": {"iam:PassedToService": {"ec2.amazonaws.com", "ec2.amazonaws.com.cn"}}}
	return []document{{
		name: "controller", when: "always", reads: true,
		statements: []statement{
			{"Look", nil, []string{"*"}, inRegion},
			{"LaunchFrom", append(call("ec2:CreateFleet"), runs),
				slices.Concat(ec2("", "image", "snapshot"), ec2("*", "security-group", "subnet", "capacity-reservation", "placement-group")), nil},
			{"LaunchByOwnTemplates", append(call("ec2:CreateFleet"), runs), ec2("*", "launch-template"), tagged(resourceTag, v1.TagNodePool)},
			{"MakeTagged", append(call("ec2:CreateFleet", "ec2:CreateLaunchTemplate"), runs),
				ec2("*", append(slices.Clone(made), "launch-template")...), tagged(requestTag, v1.TagNodePool)},
			{"TagWhatIsMade", []action{{"ec2:CreateTags", []string{"ec2:CreateFleet", "ec2:CreateLaunchTemplate"}, "what is made is tagged as it is made"}},
				ec2("*", append(slices.Clone(made), "launch-template")...),
				tagged(requestTag, v1.TagNodePool).with("ec2:CreateAction", "CreateFleet", "RunInstances", "CreateLaunchTemplate")},
			{"NameClaim", call("ec2:CreateTags"), ec2("*", "instance"), tagged(resourceTag, v1.TagNodePool).only(v1.TagNodeClaim)},
			{"EndOwn", call("ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"), ec2("*", "instance", "launch-template"), tagged(resourceTag, v1.TagNodePool)},
			{"PassNodeRole", []action{{"iam:PassRole", []string{"ec2:CreateFleet", "iam:AddRoleToInstanceProfile"},
				"an instance that is run, and an instance profile that is filled, hand the node's role to EC2"}},
				[]string{"arn:" + partition + ":iam::" + account + ":role/" + nodeRole}, pass},
			{"ReadPublishedImages", call("ssm:GetParameter"), []string{"arn:" + partition + ":ssm:" + region + "::parameter/aws/service/*"}, nil},
			{"ReadPrices", call("pricing:GetProducts"), []string{"*"}, nil},
			{"ReadCluster", call("eks:DescribeCluster"), []string{"arn:" + partition + ":eks:" + region + ":" + account + ":cluster/" + cluster}, nil},
		},
	}, {
		name: "instance-profiles", when: "where an EC2NodeClass has `spec.role`; not for `spec.instanceProfile`",
		statements: []statement{
			// IAM knows no path of a profile that is not there.
			{"LookAtProfiles", call("iam:GetInstanceProfile"), []string{profiles, "arn:" + partition + ":iam::" + account + ":instance-profile/" + cluster + "_*"}, nil},
			{"ListProfiles", call("iam:ListInstanceProfiles"), []string{"*"}, nil},
			{"MakeProfiles", append(call("iam:CreateInstanceProfile"),
				action{"iam:TagInstanceProfile", []string{"iam:CreateInstanceProfile"}, "a profile is tagged as it is made"}),
				[]string{profiles}, tagged(requestTag, v1.TagNodeClass)},
			{"ChangeOwnProfiles", call("iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"),
				[]string{profiles}, tagged(resourceTag, v1.TagNodeClass)},
		},
	}, {
		name: "interruption", when: "with an interruption queue",
		statements: []statement{
			{"ReadQueue", call("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"), []string{"arn:" + partition + ":sqs:" + region + ":" + account + ":" + queue}, nil},
		},
	}, {
		name: "commitments", when: "with `--commitments account`, also of `stowage plan`",
		statements: []statement{
			{"ReadReservedInstances", call("ec2:DescribeReservedInstances"), []string{"*"}, inRegion},
			// They are of no region.
			{"ReadSavingsPlans", call("savingsplans:DescribeSavingsPlans", "savingsplans:DescribeSavingsPlanRates"), []string{"*"}, nil},
		},
	}}
}

// states reports whether any of the documents names the action.
func states(docs []document, name string) bool {
	for _, d := range docs {
		for _, s := range d.statements {
			if slices.ContainsFunc(s.actions, func(a action) bool { return a.name == name }) {
				return true
			}
		}
	}
	return false
}

// complete fills in the reads, and holds the documents against the calls: each call is
// allowed, and each right is needed by a call.
func complete(docs []document, made callers) ([]document, error) {
	left := maps.Clone(made)
	for i := range docs {
		if !docs[i].reads {
			continue
		}
		for _, name := range made.actions() {
			if strings.HasPrefix(name, "ec2:Describe") && !states(docs, name) {
				docs[i].statements[0].actions = append(docs[i].statements[0].actions, action{name: name})
			}
		}
	}
	for _, d := range docs {
		for _, s := range d.statements {
			for _, a := range s.actions {
				needs := a.needs
				if len(needs) == 0 {
					needs = []string{a.name}
				}
				if !slices.ContainsFunc(needs, func(n string) bool { return made[n] != nil }) {
					return nil, fmt.Errorf("policy %s, %s: no call needs %s", d.name, s.sid, a.name)
				}
				delete(left, a.name)
			}
		}
	}
	if missing := left.actions(); len(missing) > 0 {
		return nil, fmt.Errorf("no policy allows %s, called through %s", missing[0], strings.Join(made[missing[0]], ", "))
	}
	return docs, nil
}
