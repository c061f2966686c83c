package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A source is what the text of an SDK package says that its types do not.
type source struct {
	module string // with its version
	// wire names members as requests spell them, by structure and field. JSON services
	// have none: they spell members as the earlier models do.
	wire map[string]map[string]string
	// required fields, by structure.
	required map[string]map[string]bool
}

// readSource reads an SDK package, and the one of its types.
func readSource(pkg string) (source, error) {
	s := source{wire: map[string]map[string]string{}, required: map[string]map[string]bool{}}
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}\n{{.Module.Path}}@{{.Module.Version}}", pkg).Output()
	if err != nil {
		return s, fmt.Errorf("looking for %s: %w", pkg, err)
	}
	dir, module, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	s.module = module
	for _, glob := range []string{"api_op_*.go", "types/types.go", "serializers.go"} {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return s, err
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return s, err
			}
			for _, d := range file.Decls {
				s.declaration(d)
			}
		}
	}
	return s, nil
}

func (s source) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				if x, ok := t.Type.(*ast.StructType); ok {
					s.fields(t.Name.Name, x)
				}
			}
		}
	case *ast.FuncDecl:
		if found := serializer.FindStringSubmatch(d.Name.Name); found != nil {
			s.keys(found[1], d.Body)
		}
	}
}

// serializer is a function that writes one structure, or an operation's input.
var serializer = regexp.MustCompile(`^aws[A-Za-z0-9]+_serialize(?:OpDocument|Document)(\w+)$`)

// fields notes which fields of a structure must be there: their comments say so.
func (s source) fields(name string, x *ast.StructType) {
	for _, f := range x.Fields.List {
		if len(f.Names) == 0 || !strings.Contains(f.Doc.Text(), "This member is required.") {
			continue
		}
		if s.required[name] == nil {
			s.required[name] = map[string]bool{}
		}
		s.required[name][f.Names[0].Name] = true
	}
}

// keys notes how fields are spelled: each is written in an if of its own, about v.Field,
// with object.Key("Name") or object.FlatKey("Name") in it.
func (s source) keys(name string, body *ast.BlockStmt) {
	for _, statement := range body.List {
		branch, ok := statement.(*ast.IfStmt)
		if !ok {
			continue
		}
		field, key := "", ""
		ast.Inspect(branch, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "v" && field == "" {
					field = n.Sel.Name
				}
			case *ast.CallExpr:
				f, ok := n.Fun.(*ast.SelectorExpr)
				if ok && (f.Sel.Name == "Key" || f.Sel.Name == "FlatKey") && key == "" {
					key, _ = strconv.Unquote(n.Args[0].(*ast.BasicLit).Value)
				}
			}
			return true
		})
		if field != "" && key != "" {
			if s.wire[name] == nil {
				s.wire[name] = map[string]string{}
			}
			s.wire[name][field] = key
		}
	}
}
