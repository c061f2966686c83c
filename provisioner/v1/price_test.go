package v1_test

import (
	"testing"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestPreferencePrice(t *testing.T) {
	if price, err := new(v1.NodePool).PreferencePrice(); err != nil || price != v1.PreferencePriceDefault {
		t.Errorf("nothing said: %v, %v", price, err)
	}
	for said, want := range map[string]float64{"0": 0, "0.25": 0.25, "25%": 0.25, "1": 1, "100%": 1, "0%": 0} {
		p := &v1.NodePool{}
		withPreferencePrice(said)(p, nil)
		if price, err := p.PreferencePrice(); err != nil || price != want {
			t.Errorf("%q: %v, %v; want %v", said, price, err, want)
		}
	}
	for _, said := range []string{"", "%", "ten", "10", "-0.1", "101%", "NaN", "Inf", "0.1 %", " 0.1"} {
		p := &v1.NodePool{}
		withPreferencePrice(said)(p, nil)
		if price, err := p.PreferencePrice(); err == nil {
			t.Errorf("%q: %v, want an error", said, price)
		}
	}
}
