package tidy

import (
	"os/exec"
	"regexp"
	"testing"
)

// TestNoFusedMultiplyAdd compiles binpack for arm64, whose compiler may fuse x*y + z
// into one instruction that rounds once. Then a plan would differ between machines:
// every product must be rounded on its own, float64(x*y) + z.
func TestNoFusedMultiplyAdd(t *testing.T) {
	build := exec.Command("go", "build", "-gcflags=-S", "-o", t.TempDir()+"/binpack.a", "./binpack")
	build.Dir = "../.."
	build.Env = append(build.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	listing, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("compiling binpack for arm64: %v\n%s", err, listing)
	}
	if !regexp.MustCompile(`\sFMULD\s`).Match(listing) {
		t.Fatal("the listing shows no multiplication at all: it is not the code of binpack")
	}
	fused := regexp.MustCompile(`\(([^()]*\.go:\d+)\)\s+(FN?M(?:ADD|SUB)[DS])\s`)
	for _, m := range fused.FindAllSubmatch(listing, -1) {
		t.Errorf("%s: %s", m[1], m[2])
	}
}
