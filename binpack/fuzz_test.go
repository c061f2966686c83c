package binpack

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// seeds gives the fuzzer the scenarios of testdata, and what random makes.
func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	input := regexp.MustCompile(`(?ms)^(?:solve|check|format|parse)\n(.*?)^----$`)
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range input.FindAllStringSubmatch(string(text), -1) {
			f.Add(m[1])
		}
	}
	for seed := range uint64(20) {
		f.Add(random(rand.New(rand.NewPCG(seed, 1)), rich).Text())
	}
}

// FuzzSolve: whatever can be written down and is valid gets a plan that Verify
// accepts.
func FuzzSolve(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil || p.Validate() != nil {
			return
		}
		pods := int64(0)
		for _, g := range p.Groups {
			if pods += g.Count; pods > 5000 {
				return // the split of a spread looks at each pod: not worth the time here
			}
		}
		s, err := Solve(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(p, s); err != nil {
			t.Fatalf("refused: %v\n%s", err, s.Text(p))
		}
	})
}

// FuzzParse: what Parse accepts and Validate passes is written back so that it
// reads the same.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Fatalf("error without a line: %v", err)
			}
			return
		}
		if p.Validate() != nil {
			return
		}
		want := p.Text()
		q, err := Parse(want)
		if err != nil {
			t.Fatalf("%v in\n%s", err, want)
		}
		if got := q.Text(); got != want {
			t.Fatalf("written:\n%safter reading:\n%s", want, got)
		}
	})
}
