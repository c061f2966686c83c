package tidy

import (
	"encoding/json"
	"flag"
	"go/ast"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write deps.txt anew")

// mayImport says which of our folders each folder may import. It is policy:
// change it in a change of its own, with a reason.
var mayImport = map[string]string{
	"binpack":       "binpack",
	"pricing":       "pricing cloudprovider",
	"cloudprovider": "cloudprovider",
	"provisioner":   "binpack pricing cloudprovider provisioner",
	"charts":        "charts cloudprovider", // crdgen writes the labels of AWS into the CRDs
	"test":          "binpack pricing cloudprovider provisioner charts test",
	"cmd":           "binpack pricing cloudprovider provisioner cmd",
}

// mayHold lists the folders that may hold a Kubernetes client: those that write to the
// cluster. provisioner/drift and provisioner/interrupt write one condition of NodeClaims each, apart
// from what acts on it, so that a mistake in either can be told from one in the other.
var mayHold = []string{"provisioner/state", "provisioner/nodepool", "provisioner/nodeoverlay", "provisioner/headroom", "provisioner/provision", "provisioner/disrupt",
	"provisioner/drift", "provisioner/interrupt", "provisioner/static", "provisioner/repair", "provisioner/lifecycle", "cloudprovider/aws/nodeclass", "cmd", "test"}

func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t) {
		top, _, _ := strings.Cut(p.folder(), "/")
		allowed, known := mayImport[top]
		if !known {
			t.Errorf("%s: folder %q is not in mayImport", p.ImportPath, top)
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok {
				if to, _, _ := strings.Cut(ours, "/"); !slices.Contains(strings.Fields(allowed), to) {
					t.Errorf("%s imports %s", p.folder(), ours)
				}
			}
			checkImport(t, &p, i)
		}
	}
}

// typesOnly are the packages of client-go whose types the plugins of kube-scheduler ask for by
// name.
var typesOnly = []string{"k8s.io/client-go/informers", "k8s.io/client-go/kubernetes", "k8s.io/client-go/tools/cache", "k8s.io/client-go/util/workqueue"}

// checkImport holds one import of p to the rules on particular packages.
func checkImport(t *testing.T, p *listed, imported string) {
	t.Helper()
	folder := p.folder()
	within := func(roots ...string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return folder == root || strings.HasPrefix(folder, root+"/") })
	}
	switch {
	case within("binpack") && strings.Contains(imported, "."):
		t.Errorf("%s imports %s; it uses the standard library only", folder, imported)
	case within("provisioner") && strings.HasPrefix(imported, module+"/cloudprovider/aws"):
		t.Errorf("%s imports %s; it knows no particular cloud", folder, imported)
	case strings.HasPrefix(imported, "k8s.io/kubernetes/") && !within("provisioner/oracle"):
		t.Errorf("%s imports %s; only provisioner/oracle may", folder, imported)
	case folder == "provisioner/oracle" && slices.Contains(typesOnly, imported):
		// no client is behind them
	case (imported == "sigs.k8s.io/controller-runtime/pkg/client" || strings.HasPrefix(imported, "k8s.io/client-go")) && !within(mayHold...):
		t.Errorf("%s imports %s; it may not hold a client", folder, imported)
	}
}

func TestPackageNamesAreOnePackageEach(t *testing.T) {
	seen := map[string]string{}
	for _, p := range list(t) {
		if p.Name == "main" || p.Name == "v1" { // v1 is the name of an API version
			continue
		}
		if other, ok := seen[p.Name]; ok {
			t.Errorf("%s and %s are both named %s", other, p.folder(), p.Name)
		}
		seen[p.Name] = p.folder()
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "types"}, p.Name) {
			t.Errorf("%s: the name says nothing", p.folder())
		}
	}
}

func TestEverythingExportedIsDocumented(t *testing.T) {
	e := readExceptions(t)
	commented := map[string]bool{}
	for _, s := range sources(t) {
		folder := s.pkg.folder()
		commented[folder] = commented[folder] || s.file.Doc != nil && !s.test
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				e.report(t, "doc", path.Join(folder, name), "%s has no comment", s.name)
			}
		}
	}
	for folder, ok := range commented {
		if !ok {
			e.report(t, "package", folder, "no package comment")
		}
	}
	e.done(t, "doc", "package")
}

// undocumented returns the exported names of a declaration without a comment.
func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver returns the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	x := d.Recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.Ident:
			return y.Name
		default:
			return ""
		}
	}
}

// The budgets of style: lines of a function and of a file, parameters, methods.
const (
	maxFunction   = 70
	maxFile       = 600
	maxParameters = 5
	maxMethods    = 5
)

func TestSizes(t *testing.T) {
	e := readExceptions(t)
	for _, s := range sources(t) {
		if lines := s.fset.File(s.file.Pos()).LineCount(); lines > maxFile {
			e.report(t, "file", s.name, "%d lines, at most %d", lines, maxFile)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				subject := path.Join(s.pkg.folder(), n.Name.Name)
				lines := s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
				if lines > maxFunction {
					e.report(t, "length", subject, "%s: %d lines, at most %d", s.name, lines, maxFunction)
				}
				if k := n.Type.Params.NumFields(); k > maxParameters {
					e.report(t, "parameters", subject, "%s: %d parameters, at most %d", s.name, k, maxParameters)
				}
			case *ast.TypeSpec:
				if i, ok := n.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
					e.report(t, "methods", path.Join(s.pkg.folder(), n.Name.Name), "%d methods, at most %d", i.Methods.NumFields(), maxMethods)
				}
			}
			return true
		})
	}
	e.done(t, "file", "length", "parameters", "methods")
}

// edges are calls that reach outside the values a decision is a function of.
var edges = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"},
	"os":   {"Getenv", "LookupEnv", "Environ", "Exit"},
	"rand": {"Int", "IntN", "Intn", "Int63", "Int64", "Float64", "Perm", "Shuffle", "Uint64", "Uint32", "N"},
}

func TestClocksAndChanceStandAtTheEdge(t *testing.T) {
	e := readExceptions(t)
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.pkg.folder(), "/")
		if s.test || top == "cmd" || top == "test" || s.pkg.Name == "main" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(edges[x.Name], sel.Sel.Name) {
				e.report(t, "edge", s.name, "%s.%s at line %d", x.Name, sel.Sel.Name, s.fset.Position(n.Pos()).Line)
			}
			return true
		})
	}
	e.done(t, "edge")
}

// A goMod is what `go mod edit -json` says of a go.mod.
type goMod struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct{ Old struct{ Path string } }
}

// readGoMod reads a go.mod; without a name, the project's.
func readGoMod(t *testing.T, name ...string) (m goMod) {
	t.Helper()
	out, err := goTool(append([]string{"mod", "edit", "-json"}, name...)...)
	if err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	return m
}

// TestModuleStaysInstallable: go.mod replaces nothing, as `go install` would
// refuse that, and names each staging module of k8s.io/kubernetes itself, because
// that one requires them at a v0.0.0 that nobody published. Which they are is
// read there. See provisioner/oracle/staging.go.
func TestModuleStaysInstallable(t *testing.T) {
	ours := readGoMod(t)
	for _, r := range ours.Replace {
		t.Errorf("go.mod replaces %s; `go install` would refuse the module", r.Old.Path)
	}
	versions := map[string]string{}
	for _, r := range ours.Require {
		if !r.Indirect {
			versions[r.Path] = r.Version
		}
	}
	kubernetes := versions["k8s.io/kubernetes"]
	want := "v0." + strings.TrimPrefix(kubernetes, "v1.")
	theirs, err := goTool("list", "-m", "-f", "{{.GoMod}}", "k8s.io/kubernetes")
	if err != nil {
		t.Fatalf("looking for k8s.io/kubernetes: %v", err)
	}
	staging := 0
	for _, r := range readGoMod(t, strings.TrimSpace(string(theirs))).Require {
		if r.Version != "v0.0.0" || r.Path == "k8s.io/sample-apiserver" { // an example to copy from, not to import
			continue
		}
		staging++
		if got := versions[r.Path]; got != want {
			t.Errorf("go.mod requires %s %q, want %s as it requires k8s.io/kubernetes %s", r.Path, got, want, kubernetes)
		}
	}
	if staging < 30 {
		t.Errorf("k8s.io/kubernetes %s has %d staging modules; there were 30", kubernetes, staging)
	}
}

// TestDependencies compares the modules that the product is linked from with
// deps.txt, so that a new one shows in review. -rewrite writes it anew.
func TestDependencies(t *testing.T) {
	out, err := goTool("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	got := strings.Join(slices.Compact(lines), "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile("deps.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the product's modules changed; say why in CHANGELOG.md and run `make golden`\ngot:\n%s\nwant:\n%s", got, want)
	}
}
