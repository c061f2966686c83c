package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reasonCodes lists the codes of the packages that make reasons: the constants that say their own name.
func reasonCodes(t *testing.T) (codes []string) {
	t.Helper()
	for _, folder := range []string{"../../binpack", "../../provisioner/problem", "manifest"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != 1 {
					return true
				}
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Value == strconv.Quote(spec.Names[0].Name) {
					codes = append(codes, spec.Names[0].Name)
				}
				return true
			})
		}
	}
	slices.Sort(codes)
	return codes
}

// TestEveryReasonIsDocumented: docs/reasons.md has a section for each code, and none for any other; its
// example has real ones.
func TestEveryReasonIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	codes := reasonCodes(t)
	if !slices.Equal(codes, documented) {
		t.Errorf("docs/reasons.md has sections\n\t%s\nand the codes are\n\t%s", strings.Join(documented, " "), strings.Join(codes, " "))
	}
	for _, m := range regexp.MustCompile(`"code": "([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(codes, m[1]) {
			t.Errorf("docs/reasons.md shows %s, which is no code", m[1])
		}
	}
}
