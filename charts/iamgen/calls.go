package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// services is where the SDK's clients are; the last element of the path is also the
// prefix of the service's IAM actions.
const services = "github.com/aws/aws-sdk-go-v2/service/"

// linked lists the source files of this module that the controller is linked from.
func linked() ([]string, error) {
	const each = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", each, module+"/cmd/stowage").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the controller's packages: %w", err)
	}
	var files []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if s.Text() != "" {
			files = append(files, s.Text())
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// A callers says of each action, as "ec2:CreateFleet", through which interfaces it is
// called, as "aws.EC2".
type callers map[string][]string

// actions lists the actions, sorted.
func (c callers) actions() []string { return slices.Sorted(maps.Keys(c)) }

// calls reads which operations the files call. Two things are read, and have to agree: the
// narrow interfaces through which the SDK is called, and the inputs that are composed. An
// input that goes through no such interface is a call past them; a method that nobody has
// an input for is a right that nobody needs.
func calls(files []string) (callers, error) {
	through, composed := callers{}, map[string]string{}
	for _, name := range files {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s := source{file.Name.Name, imported(file)}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				switch x := n.Type.(type) {
				case *ast.InterfaceType:
					s.methods(n.Name.Name, x, through)
				case *ast.StructType:
					s.fields(n.Name.Name, x, through)
				}
			case *ast.CompositeLit:
				if action, ok := s.named(n.Type, "Input"); ok {
					composed[action] = fset.Position(n.Pos()).String()
				}
			}
			return true
		})
	}
	for action, at := range composed {
		if through[action] == nil {
			return nil, fmt.Errorf("%s: %s is called through none of the narrow interfaces", at, action)
		}
	}
	for _, action := range through.actions() {
		slices.Sort(through[action])
		through[action] = slices.Compact(through[action])
		if composed[action] == "" {
			return nil, fmt.Errorf("%s has a method for %s, which nobody calls", strings.Join(through[action], ", "), action)
		}
	}
	return through, nil
}

// A source is one file, as far as its types have to be told apart.
type source struct {
	pkg     string
	clients map[string]string // by the name of the import: the service
}

// imported maps the names by which a file knows the SDK's clients to the services.
func imported(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, i := range file.Imports {
		where, err := strconv.Unquote(i.Path.Value)
		service, ok := strings.CutPrefix(where, services)
		if err != nil || !ok || strings.Contains(service, "/") {
			continue
		}
		name := path.Base(where)
		if i.Name != nil {
			name = i.Name.Name
		}
		out[name] = service
	}
	return out
}

// named returns the action whose input, or client, a type is: "ec2:CreateFleet" for
// ec2.CreateFleetInput.
func (s source) named(x ast.Expr, suffix string) (string, bool) {
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	sel, ok := x.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	of, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	operation, ok := strings.CutSuffix(sel.Sel.Name, suffix)
	service := s.clients[of.Name]
	return service + ":" + operation, ok && service != ""
}

// methods adds the operations that an interface has a method for.
func (s source) methods(name string, i *ast.InterfaceType, to callers) {
	for _, m := range i.Methods.List {
		f, ok := m.Type.(*ast.FuncType)
		if !ok || len(f.Params.List) < 2 {
			continue
		}
		if action, ok := s.named(f.Params.List[1].Type, "Input"); ok {
			to[action] = append(to[action], s.pkg+"."+name)
		}
	}
}

// fields adds the operations of a struct's fields whose type is one of the interfaces that
// the SDK has itself, one for each operation with pages.
func (s source) fields(name string, x *ast.StructType, to callers) {
	for _, f := range x.Fields.List {
		if action, ok := s.named(f.Type, "APIClient"); ok {
			to[action] = append(to[action], s.pkg+"."+name)
		}
	}
}

// root is the folder of the module.
func root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
}
