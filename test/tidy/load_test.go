package tidy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/stowage-sh/stowage"

// A listed package is what `go list -json` says of one.
type listed struct {
	Dir, ImportPath, Name              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports                            []string
}

// folder is the package's path within the project.
func (p *listed) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// packages lists the project's packages, once per run.
var packages = sync.OnceValues(func() ([]listed, error) {
	out, err := goTool("list", "-json=Dir,ImportPath,Name,GoFiles,TestGoFiles,XTestGoFiles,Imports", "./...")
	if err != nil {
		return nil, err
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

// goTool runs the go command at the root of the project.
func goTool(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

func list(t *testing.T) []listed {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages; the project has more", len(all))
	}
	return all
}

// A source is a parsed file of ours that no generator wrote.
type source struct {
	name string // within the project
	pkg  *listed
	test bool
	fset *token.FileSet
	file *ast.File
}

// sources parses every file of every package.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	pkgs := list(t)
	for i := range pkgs {
		p := &pkgs[i]
		for kind, names := range [][]string{p.GoFiles, p.TestGoFiles, p.XTestGoFiles} {
			for _, name := range names {
				fset := token.NewFileSet()
				f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
				if err != nil {
					t.Fatal(err)
				}
				if !ast.IsGenerated(f) {
					all = append(all, source{name: filepath.Join(p.folder(), name), pkg: p, test: kind > 0, fset: fset, file: f})
				}
			}
		}
	}
	return all
}

// exceptions is exceptions.txt: lines of "rule subject: reason".
type exceptions struct {
	reasons map[string]string
	used    map[string]bool
}

func readExceptions(t *testing.T) *exceptions {
	t.Helper()
	f, err := os.Open("exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := &exceptions{reasons: map[string]string{}, used: map[string]bool{}}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			t.Errorf("exceptions.txt: no reason in %q", line)
		}
		e.reasons[key] = reason
	}
	return e
}

// report fails the test for a breach of a rule, unless it is an exception.
func (e *exceptions) report(t *testing.T, rule, subject, format string, args ...any) {
	t.Helper()
	key := rule + " " + subject
	if _, ok := e.reasons[key]; ok {
		e.used[key] = true
		return
	}
	t.Errorf("%s: "+format, append([]any{key}, args...)...)
}

// done fails the test for exceptions of these rules that nothing needed.
func (e *exceptions) done(t *testing.T, rules ...string) {
	t.Helper()
	for key := range e.reasons {
		rule, _, _ := strings.Cut(key, " ")
		for _, r := range rules {
			if r == rule && !e.used[key] {
				t.Errorf("exceptions.txt: %q is needed no more", key)
			}
		}
	}
}
