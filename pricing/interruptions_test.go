package pricing

import (
	"strings"
	"testing"
)

// TestInterruptions: of machines in the band from 5 to 10 % a month, 7.5 % over 730 hours are taken back in one:
// 0.0001027. At $50 each that is $0.005137.
func TestInterruptions(t *testing.T) {
	const file = `{"ranges": [], "spot_advisor": {"us-east-1": {"Linux": {"m5.large": {"s": 70, "r": 1}, "c5.large": {"s": 60, "r": 0}}}, "eu-west-1": {"Linux": {"m5.large": {"r": 9}}}}}`
	rates, err := ReadInterruptions(strings.NewReader(file), "advisor.json", "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	table := tableOf(1, 1, "", "spot").WithInterruptions(rates)
	for kind, want := range map[string]MicroUSD{"m5.large": 5_136, "c5.large": 1_712, "r5.large": 0} {
		if got := table.Interrupted(kind, 50_000_000); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	if got := table.with(tableOf(2, 1, "", "spot")).Interrupted("m5.large", 50_000_000); got != 5_136 {
		t.Errorf("after a refresh: %v", got)
	}
	for text, want := range map[string]string{
		"":                  "advisor.json: JSON is wanted, such as spot-advisor-data.json: EOF",
		"commitments: []\n": "advisor.json: JSON is wanted, such as spot-advisor-data.json: invalid character 'c' looking for beginning of value",
		"{}":                "advisor.json: spot_advisor.us-east-1.Linux: is missing or empty",
		`{"spot_advisor": {"us-east-1": {"Linux": {"m5.large": {"s": 1}}}}}`: "advisor.json: spot_advisor.us-east-1.Linux.m5.large.r: must be a band from 0 to 4",
		`{"spot_advisor": {"us-east-1": {"Linux": {"m5.large": {"r": 5}}}}}`: "advisor.json: spot_advisor.us-east-1.Linux.m5.large.r: must be a band from 0 to 4",
	} {
		if _, err := ReadInterruptions(strings.NewReader(text), "advisor.json", "us-east-1"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestOtherSystems: what another operating system costs is not known by what Linux does, and is kept apart.
func TestOtherSystems(t *testing.T) {
	linux, o := tableOf(100, 1, "", "on-demand"), offering("a1.large", "us-east-1a", "on-demand")
	if _, ok := linux.For("windows").Price(o); ok {
		t.Error("a machine with Windows has Linux's price")
	}
	windows := tableOf(190, 1, "", "on-demand")
	windows.os = "windows"
	for range 2 { // and again
		linux = linux.with(windows).with(tableOf(101, 1, "", "on-demand"))
	}
	if got, _ := linux.For("windows").Price(o); got != 190 {
		t.Errorf("with Windows it costs %v", got)
	}
	if got, _ := linux.For("linux").Price(o); got != 101 {
		t.Errorf("with Linux it costs %v", got)
	}
}
