package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestModelIsUpToDate generates the model again and compares: an update of the SDK that
// adds a member shows here. It needs the module of the earlier models, which is no
// dependency: without it nothing can be compared.
func TestModelIsUpToDate(t *testing.T) {
	if _, err := fetch(); err != nil {
		t.Skipf("the earlier models are not to be had: %v", err)
	}
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../model.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("model.json is not what AWS publishes; run go generate ./test/ec2sim/apimodel (-generated +there):\n%s", diff)
	}
}
