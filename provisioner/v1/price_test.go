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

func TestNodeSlack(t *testing.T) {
	if share, err := new(v1.NodePool).NodeSlack(); err != nil || share != 0 {
		t.Errorf("nothing said: %v, %v", share, err)
	}
	for said, want := range map[string]float64{"0": 0, "0.25": 0.25, "3%": 0.03, "50%": 0.5} {
		p := &v1.NodePool{}
		p.Annotations = map[string]string{v1.AnnotationNodeSlack: said}
		if share, err := p.NodeSlack(); err != nil || share != want {
			t.Errorf("%q: %v, %v; want %v", said, share, err, want)
		}
	}
	for _, said := range []string{"", "3", "51%", "-1%", "NaN", "3 %"} {
		p := &v1.NodePool{}
		p.Annotations = map[string]string{v1.AnnotationNodeSlack: said}
		if share, err := p.NodeSlack(); err == nil || len(p.CostAnnotations()) != 1 {
			t.Errorf("%q: %v, want an error", said, share)
		}
	}
}

func TestDollars(t *testing.T) {
	if micro, err := new(v1.NodePool).InstanceSurcharge(); err != nil || micro != 0 {
		t.Errorf("nothing said: %v, %v", micro, err)
	}
	for said, want := range map[string]int64{"0": 0, "0.05": 50_000, "1": 1_000_000, "0.0000001": 1, "999999.9": 999_999_900_000} {
		p := &v1.NodePool{}
		p.Annotations = map[string]string{v1.AnnotationInstanceSurcharge: said, v1.AnnotationInterruptionCost: said}
		surcharge, err := p.InstanceSurcharge()
		cost, err2 := p.InterruptionCost()
		if err != nil || err2 != nil || surcharge != want || cost != want {
			t.Errorf("%q: %v (%v) and %v (%v), want %v", said, surcharge, err, cost, err2, want)
		}
	}
	for _, said := range []string{"", "free", "-0.05", "50m", "1Ki", "1e3", "1000000", "$1", "0,05"} {
		p := &v1.NodePool{}
		p.Annotations = map[string]string{v1.AnnotationInstanceSurcharge: said}
		if surcharge, err := p.InstanceSurcharge(); err == nil || len(p.CostAnnotations()) != 1 {
			t.Errorf("%q: %v, want an error", said, surcharge)
		}
	}
}
