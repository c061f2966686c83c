package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/savingsplans"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// A need is what IAM is asked when a request is made: may the action be taken on the resource, given
// the keys of conditions.
type need struct {
	action, resource string
	keys             map[string]string
}

// A policy is a document of charts/iam with the names of the tests' account.
type policy struct {
	Statement []struct {
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
}

const accountID, arn = "123456789012", "arn:aws:"

func policies(t *testing.T) (all []policy) {
	t.Helper()
	files, err := filepath.Glob("../../charts/iam/*.json")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	fill := strings.NewReplacer("${AWS_PARTITION}", "aws", "${AWS_REGION}", region, "${AWS_ACCOUNT_ID}", accountID, "${CLUSTER_NAME}", cluster.Name, "${NODE_ROLE}", cluster.Name+"-node", "${INTERRUPTION_QUEUE}", "queue")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := json.Unmarshal([]byte(fill.Replace(string(data))), &p); err != nil {
			t.Fatal(file, err)
		}
		all = append(all, p)
	}
	return all
}

// allowed evaluates the policies as IAM does, as far as their words go.
func allowed(all []policy, n need) bool {
	like := func(pattern, s string) bool {
		return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(s)
	}
	for _, p := range all {
		for _, s := range p.Statement {
			ok := slices.Contains(s.Action, n.action) && slices.ContainsFunc(s.Resource, func(r string) bool { return like(r, n.resource) })
			for operator, keys := range s.Condition {
				for key, values := range keys {
					value, has := n.keys[key]
					ok = ok && has && slices.ContainsFunc(values, func(v string) bool {
						return v == value || operator == "StringLike" && like(v, value)
					})
				}
			}
			if ok {
				return true
			}
		}
	}
	return false
}

// tagsIn reads the tags of each kind of resource from a request's TagSpecifications below a prefix.
func tagsIn(form url.Values, prefix string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for i := 1; form.Get(fmt.Sprintf("%sTagSpecification.%d.ResourceType", prefix, i)) != ""; i++ {
		at := fmt.Sprintf("%sTagSpecification.%d.", prefix, i)
		all[form.Get(at+"ResourceType")] = tagList(form, at+"Tag.")
	}
	return all
}

func tagList(form url.Values, prefix string) map[string]string {
	tags := map[string]string{}
	for i := 1; form.Get(fmt.Sprint(prefix, i, ".Key")) != ""; i++ {
		tags[form.Get(fmt.Sprint(prefix, i, ".Key"))] = form.Get(fmt.Sprint(prefix, i, ".Value"))
	}
	return tags
}

// keysOf spells tags as keys of conditions, with more keys.
func keysOf(of string, tags map[string]string, more ...string) map[string]string {
	keys := map[string]string{"aws:RequestedRegion": region}
	for key, value := range tags {
		keys[of+"/"+key] = value
	}
	for i := 0; i < len(more); i += 2 {
		keys[more[i]] = more[i+1]
	}
	return keys
}

// A judge turns requests into needs; it remembers what was made with which tags.
type judge struct {
	templates map[string]url.Values // by name
	profiles  map[string]url.Values // by name
}

// needs are what IAM asks of one request.
func (j *judge) needs(r ec2sim.Request) []need {
	f := r.Form
	ec2Of := func(kind string) string { return arn + "ec2:" + region + ":" + accountID + ":" + kind + "/x" }
	made := func(action, kind string, tags map[string]string) []need {
		return []need{{"ec2:" + action, ec2Of(kind), keysOf("aws:RequestTag", tags)}, {"ec2:CreateTags", ec2Of(kind), keysOf("aws:RequestTag", tags, "ec2:CreateAction", action)}}
	}
	var all []need
	switch {
	case r.Action == "CreateLaunchTemplate":
		j.templates[f.Get("LaunchTemplateName")] = f
		return made(r.Action, "launch-template", tagsIn(f, "")["launch-template"])
	case r.Action == "CreateFleet":
		own := tagsIn(f, "")
		all = append(made(r.Action, "fleet", own["fleet"]), made("RunInstances", "instance", own["instance"])...)
		all = append(all, made("RunInstances", "volume", own["volume"])...)
		for i := 1; f.Get(fmt.Sprintf("LaunchTemplateConfigs.%d.LaunchTemplateSpecification.LaunchTemplateName", i)) != ""; i++ {
			template := j.templates[f.Get(fmt.Sprintf("LaunchTemplateConfigs.%d.LaunchTemplateSpecification.LaunchTemplateName", i))]
			for kind, tags := range tagsIn(template, "LaunchTemplateData.") {
				all = append(all, made("RunInstances", kind, tags)...)
			}
			for _, action := range []string{"ec2:CreateFleet", "ec2:RunInstances"} {
				all = append(all, need{action, ec2Of("launch-template"), keysOf("aws:ResourceTag", tagsIn(template, "")["launch-template"])})
				for _, kind := range []string{"subnet", "security-group"} {
					all = append(all, need{action, ec2Of(kind), nil})
				}
				all = append(all, need{action, arn + "ec2:" + region + "::image/ami-1", nil})
			}
		}
		return append(all, need{"iam:PassRole", arn + "iam::" + accountID + ":role/" + cluster.Name + "-node", map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}})
	case r.Action == "RunInstances":
		template := j.templates[f.Get("LaunchTemplate.LaunchTemplateName")]
		all = append(all, need{"ec2:RunInstances", ec2Of("launch-template"), keysOf("aws:ResourceTag", tagsIn(template, "")["launch-template"])})
		for _, kind := range []string{"instance", "volume", "network-interface"} { // its tags stand in place of the template's
			all = append(all, made(r.Action, kind, tagsIn(f, "")[kind])...)
		}
		for _, kind := range []string{"subnet", "security-group"} {
			all = append(all, need{"ec2:RunInstances", ec2Of(kind), nil})
		}
		return all
	case r.Action == "CreateTags":
		for _, template := range j.templates { // an instance has the tags of its template, and more
			for key := range tagList(f, "Tag.") {
				all = append(all, need{"ec2:CreateTags", ec2Of("instance"), keysOf("aws:ResourceTag", tagsIn(template, "")["launch-template"], "aws:TagKeys", key)})
			}
		}
		return all
	case r.Action == "TerminateInstances", r.Action == "DeleteLaunchTemplate":
		kind := map[bool]string{true: "instance", false: "launch-template"}[r.Action == "TerminateInstances"]
		for _, template := range j.templates { // all have the tags of their cluster
			all = append(all, need{"ec2:" + r.Action, ec2Of(kind), keysOf("aws:ResourceTag", tagsIn(template, "")["launch-template"])})
		}
		return all
	case r.Service == "iam":
		return j.profile(r)
	case r.Service == "ssm":
		var in struct{ Name string }
		_ = json.Unmarshal([]byte(r.Body), &in) // what cannot be read has no name, and is not allowed
		return []need{{"ssm:GetParameter", arn + "ssm:" + region + "::parameter" + in.Name, nil}}
	}
	return []need{{r.Service + ":" + r.Action, "*", keysOf("", nil)}}
}

// profile is about a call of IAM. A profile that is not there has no path.
func (j *judge) profile(r ec2sim.Request) []need {
	name, at := r.Form.Get("InstanceProfileName"), arn+"iam::"+accountID+":instance-profile"
	action := "iam:" + r.Action
	if r.Action == "CreateInstanceProfile" {
		j.profiles[name] = r.Form
		keys := keysOf("aws:RequestTag", tagList(r.Form, "Tags.member."))
		return []need{{action, at + r.Form.Get("Path") + name, keys}, {"iam:TagInstanceProfile", at + r.Form.Get("Path") + name, keys}}
	}
	made, there := j.profiles[name]
	switch {
	case r.Action == "ListInstanceProfiles":
		return []need{{action, "*", nil}}
	case !there:
		return []need{{action, at + "/" + name, nil}}
	}
	all := []need{{action, at + made.Get("Path") + name, keysOf("aws:ResourceTag", tagList(made, "Tags.member."))}}
	if r.Action == "AddRoleToInstanceProfile" {
		all = append(all, need{"iam:PassRole", arn + "iam::" + accountID + ":role/" + r.Form.Get("RoleName"), map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}})
	}
	return all
}

// live has a class resolved, launches from it, sweeps and deletes it, and returns all requests.
func live(t *testing.T) []ec2sim.Request {
	a := newAccount(t)
	a.sim.Record(true)
	a.class.UID, a.class.Annotations = "0c1d2e3f-0000-4000-8000-000000000001", nil // another class, without a profile
	p, ref := a.provider(), a.cloud().Class
	a.resolver.Rehearse = func(ctx context.Context, c *aws.Class) error { return p.Rehearse(ctx, c, a.ec2) }
	a.resolve()
	for i, capacityType := range []string{cloudprovider.Spot, cloudprovider.OnDemand} {
		uid := fmt.Sprint("claim-", i)
		o := cloudprovider.Offering{InstanceType: "m5.large", Zone: region + "a", CapacityType: capacityType}
		instance, err := p.Launch(t.Context(), cloudprovider.LaunchRequest{Claim: uid, UID: uid, Class: ref, NodePool: "web", Offerings: []cloudprovider.Offering{o}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Terminate(t.Context(), instance.ID); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		instance := a.member(p, fmt.Sprint("together-", i), cloudprovider.LaunchGroup{ID: "together", Index: i, Size: 2})
		if err := p.Tag(t.Context(), instance.ID, instance.Claim); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first sweep only learns what is in use
		if err := p.SweepTemplates(t.Context(), a.ec2, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	a.sim.Commit(nil, []ec2sim.SavingsPlan{{ID: "plan", Type: "Compute", Commitment: "1", Percent: 20}})
	committed := pricing.Account{EC2: a.ec2, SavingsPlans: savingsplans.NewFromConfig(a.config), Region: region}
	if read, err := committed.Read(t.Context(), time.Now()); err != nil || len(read.Commitments) != 1 {
		t.Fatal(read, err)
	}
	a.class.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	a.class.Finalizers = []string{v1.FinalizerTermination}
	a.resolve()
	return a.sim.Requests("")
}

// TestPoliciesAllowWhatIsDone: the policies of charts/iam let everything pass that a class and its machines need from
// their beginning to their end, with the tags and paths that the requests really have; and not the same without the
// tags, or on another cluster's things.
func TestPoliciesAllowWhatIsDone(t *testing.T) {
	all, j, seen := policies(t), &judge{map[string]url.Values{}, map[string]url.Values{}}, map[string]bool{}
	for _, r := range live(t) {
		for _, n := range j.needs(r) {
			seen[n.action] = true
			if !allowed(all, n) {
				t.Errorf("%s:%s: %s on %s is not allowed with %v", r.Service, r.Action, n.action, n.resource, n.keys)
			}
			for key, value := range n.keys {
				if !strings.Contains(key, "Tag/kubernetes.io/cluster/") && !strings.HasSuffix(key, "Tag/"+v1.TagNodePool) {
					continue
				}
				less := maps.Clone(n.keys)
				delete(less, key)
				if strings.HasSuffix(key, "/"+cluster.Name) {
					less[strings.TrimSuffix(key, cluster.Name)+"other"] = value
				}
				if allowed(all, need{n.action, n.resource, less}) {
					t.Errorf("%s on %s is allowed without %s", n.action, n.resource, key)
				}
			}
		}
	}
	for _, action := range []string{
		"ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances", "ec2:DeleteLaunchTemplate", "ec2:DescribeInstances", "iam:PassRole",
		"iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile", "iam:ListInstanceProfiles", "ssm:GetParameter",
		"ec2:DescribeReservedInstances", "savingsplans:DescribeSavingsPlans", "savingsplans:DescribeSavingsPlanRates",
	} {
		if !seen[action] {
			t.Errorf("%s was never needed: the test does not do what it says", action)
		}
	}
	own := map[string]string{v1.TagClusterPrefix + cluster.Name: "owned", v1.TagNodePool: "web"}
	if allowed(all, need{"ec2:CreateTags", arn + "ec2:" + region + ":" + accountID + ":instance/x", keysOf("aws:ResourceTag", own, "aws:TagKeys", "Name")}) {
		t.Error("any tag may be set on an instance")
	}
	if allowed(all, need{"iam:PassRole", arn + "iam::" + accountID + ":role/admin", map[string]string{"iam:PassedToService": "ec2.amazonaws.com"}}) {
		t.Error("any role may be passed")
	}
}
