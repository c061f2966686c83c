package region

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestZones(t *testing.T) {
	for _, c := range []struct {
		region string
		want   []string
	}{
		{"us-east-1", []string{"us-east-1a", "us-east-1b", "us-east-1c"}},
		{"us-west-1", []string{"us-west-1a", "us-west-1c"}},
		{"ap-northeast-1", []string{"ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"}},
		{"eu-central-1", []string{"eu-central-1a", "eu-central-1b", "eu-central-1c"}},
	} {
		got, err := FirstZones(c.region)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("FirstZones(%q) = %v, %v; want %v", c.region, got, err, c.want)
		}
	}
	all, err := Zones("us-east-1")
	if err != nil || len(all) != 6 || all[5] != "us-east-1f" {
		t.Errorf("Zones(us-east-1) = %v, %v; want a to f", all, err)
	}
}

func TestUnknownRegionNamesNearOnes(t *testing.T) {
	for name, want := range map[string]string{
		"us-esat-1":  "us-east-1",
		"eu-west-4":  "eu-west-1",
		"us-east-1a": "us-east-1",
		"":           "us-east-1",
	} {
		err := Check(name)
		unknown, ok := errors.AsType[*UnknownError](err)
		if !ok || len(unknown.Near) != 3 {
			t.Fatalf("Check(%q) = %v; want an UnknownError with three names", name, err)
		}
		if name != "" && unknown.Near[0] != want {
			t.Errorf("Check(%q): nearest %q, want %q", name, unknown.Near[0], want)
		}
		if !strings.Contains(err.Error(), unknown.Near[0]) {
			t.Errorf("Check(%q): the message %q does not list the names", name, err)
		}
	}
	for _, name := range All() {
		if err := Check(name); err != nil {
			t.Errorf("Check(%q): %v", name, err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 2}, {"abc", "abd", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
