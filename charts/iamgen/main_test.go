package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// TestPoliciesAreUpToDate generates the policies and the page again and compares: a call
// that was added or dropped shows here.
func TestPoliciesAreUpToDate(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not what the calls need; run go generate ./charts (-generated +there):\n%s", name, diff)
		}
	}
	there, err := filepath.Glob("../../" + policies + "/*")
	if err != nil || len(there) != len(files)-1 {
		t.Errorf("there are %d files in %s, %d are generated (%v)", len(there), policies, len(files)-1, err)
	}
}

// allCalls reads the calls of the controller.
func allCalls(t *testing.T) callers {
	t.Helper()
	files, err := linked()
	if err != nil {
		t.Fatal(err)
	}
	made, err := calls(files)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestPoliciesHoldEveryCallAndNoMore(t *testing.T) {
	made := allCalls(t)
	for _, name := range []string{"ec2:CreateFleet", "ec2:DescribeSubnets", "iam:CreateInstanceProfile", "pricing:GetProducts", "ec2:DescribeSpotPriceHistory"} {
		if made[name] == nil {
			t.Errorf("%s was not found among the calls: %v", name, made.actions())
		}
	}
	made["ec2:StopInstances"] = []string{"aws.EC2"}
	if _, err := complete(documents(), made); err == nil || !strings.Contains(err.Error(), "ec2:StopInstances") {
		t.Errorf("a call that no policy allows: %v", err)
	}
	delete(made, "ec2:StopInstances")
	for _, name := range made.actions() {
		if strings.HasPrefix(name, "ec2:Describe") || name == runs.name { // CreateFleet needs that as well
			continue
		}
		less := callers{}
		for k, v := range made {
			if k != name {
				less[k] = v
			}
		}
		if _, err := complete(documents(), less); err == nil || !strings.Contains(err.Error(), "no call needs "+name) && !strings.Contains(err.Error(), "no call needs iam:TagInstanceProfile") {
			t.Errorf("without a call of %s its right is not refused: %v", name, err)
		}
	}
}

// TestCallsThatCannotBeSeen: a call past the interfaces and a method without a call are
// errors, or a policy would lack the one and have the other.
func TestCallsThatCannotBeSeen(t *testing.T) {
	const head = "package p\nimport \"github.com/aws/aws-sdk-go-v2/service/ec2\"\n"
	for name, c := range map[string]struct{ source, want string }{
		"past":   {"func f(c *ec2.Client) { c.StopInstances(nil, &ec2.StopInstancesInput{}) }", "ec2:StopInstances is called through none"},
		"unused": {"type T interface { StopInstances(c int, in *ec2.StopInstancesInput) }", "p.T has a method for ec2:StopInstances"},
		"paged":  {"type T struct { C ec2.DescribeHostsAPIClient }\nvar x = &ec2.DescribeHostsInput{}", ""},
		"good":   {"type T interface { StopInstances(c int, in *ec2.StopInstancesInput) }\nvar x = ec2.StopInstancesInput{}", ""},
	} {
		file := filepath.Join(t.TempDir(), "p.go")
		if err := os.WriteFile(file, []byte(head+c.source), 0o644); err != nil {
			t.Fatal(err)
		}
		switch _, err := calls([]string{file}); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// A parsed is a policy as IAM reads it.
type parsed struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        map[string]map[string][]string
	}
}

// TestPoliciesAreNarrow: what changes something is bound to the cluster's tags or path,
// names are what IAM takes, and a policy with long names is within IAM's size.
func TestPoliciesAreNarrow(t *testing.T) {
	files, err := filepath.Glob("../../" + policies + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	fill := strings.NewReplacer(partition, "aws-us-gov", region, "ap-southeast-99", account, "111122223333", cluster, strings.Repeat("c", 100), nodeRole, strings.Repeat("r", 64), queue, strings.Repeat("q", 80))
	sid := regexp.MustCompile(`^[A-Za-z0-9]+$`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := fill.Replace(string(data))
		// A managed policy has 6,144 characters at most, white space not counted.
		size := len(strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, text))
		if size > 6144 || strings.Contains(text, "${") {
			t.Errorf("%s: %d characters once filled in, %d placeholders are left", file, size, strings.Count(text, "${"))
		}
		var p parsed
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, s := range p.Statement {
			if !sid.MatchString(s.Sid) || s.Effect != "Allow" || len(s.Resource) == 0 {
				t.Errorf("%s: statement %+v is odd", file, s)
			}
			for _, a := range s.Action {
				if strings.Contains(a, "*") {
					t.Errorf("%s, %s: %s allows more than a call", file, s.Sid, a)
				}
				if slices.Contains(s.Resource, "*") && !regexp.MustCompile(`:(Describe|Get|List)`).MatchString(a) {
					t.Errorf("%s, %s: %s is allowed on everything", file, s.Sid, a)
				}
			}
			changes := slices.ContainsFunc(s.Action, func(a string) bool {
				return regexp.MustCompile(`^ec2:(Terminate|Delete|CreateTags)|^iam:(Add|Remove|Delete|Create)`).MatchString(a)
			})
			_, tags := s.Condition["StringLike"]
			if changes && !tags {
				t.Errorf("%s, %s: %v may touch what is not the cluster's", file, s.Sid, s.Action)
			}
		}
	}
}
