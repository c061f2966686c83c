package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
)

// A limit is what the VPC resource controller knows of a type's network.
type limit struct {
	enis, ipv4PerENI, branchENIs int64
	// defaultCardENIs is the number of interfaces on the default network card.
	defaultCardENIs int64
	cards           int64
	hypervisor      string
	bareMetal       bool
}

// readLimits reads the table of limits out of the Go file that holds it. It is
// parsed, not imported: importing would make the controller and everything
// that it needs dependencies of the product.
func readLimits() (map[string]limit, error) {
	const file = "pkg/aws/vpc/limits.go"
	source, err := limitsModule.read(file)
	if err != nil {
		return nil, err
	}
	limits, err := parseLimits(source)
	if err != nil {
		return nil, fmt.Errorf("parsing %s of %s: %w", file, limitsModule, err)
	}
	return limits, nil
}

// parseLimits finds the variable Limits, a map literal from names to literals of
// a struct.
func parseLimits(source []byte) (map[string]limit, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var table *ast.CompositeLit
	ast.Inspect(parsed, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if ok && v.Names[0].Name == "Limits" && len(v.Values) == 1 {
			table, _ = v.Values[0].(*ast.CompositeLit)
		}
		return table == nil
	})
	if table == nil {
		return nil, fmt.Errorf("there is no map literal Limits")
	}
	limits := map[string]limit{}
	for _, e := range table.Elts {
		name, fields, err := entry(e)
		if err != nil {
			return nil, err
		}
		if limits[name], err = readLimit(fields); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return limits, nil
}

func readLimit(fields map[string]ast.Expr) (limit, error) {
	l := limit{
		enis: number(fields["Interface"]), ipv4PerENI: number(fields["IPv4PerInterface"]),
		hypervisor: text(fields["Hypervisor"]), bareMetal: truth(fields["IsBareMetal"]),
	}
	if truth(fields["IsTrunkingCompatible"]) {
		l.branchENIs = number(fields["BranchInterface"])
	}
	cards, ok := fields["NetworkCards"].(*ast.CompositeLit)
	if !ok {
		return l, fmt.Errorf("there is no list NetworkCards")
	}
	l.cards = int64(len(cards.Elts))
	for _, c := range cards.Elts {
		card := structFields(c)
		if number(card["NetworkCardIndex"]) == number(fields["DefaultNetworkCardIndex"]) {
			l.defaultCardENIs = number(card["MaximumNetworkInterfaces"])
		}
	}
	if l.enis == 0 || l.ipv4PerENI == 0 || l.defaultCardENIs == 0 {
		return l, fmt.Errorf("a limit is missing: %+v", l)
	}
	return l, nil
}

// entry splits one element of the map literal.
func entry(e ast.Expr) (string, map[string]ast.Expr, error) {
	pair, ok := e.(*ast.KeyValueExpr)
	if !ok {
		return "", nil, fmt.Errorf("an element without key")
	}
	name, fields := text(pair.Key), structFields(pair.Value)
	if name == "" || fields == nil {
		return "", nil, fmt.Errorf("an element that is not a name and a struct literal")
	}
	return name, fields, nil
}

// structFields returns the fields of a struct literal by name, nil if e is none.
func structFields(e ast.Expr) map[string]ast.Expr {
	literal, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	fields := map[string]ast.Expr{}
	for _, e := range literal.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok {
				fields[key.Name] = pair.Value
			}
		}
	}
	return fields
}

// number, text and truth read literals; what is not one of the kind is zero,
// and a zero that may not be is found by readLimit.
func number(e ast.Expr) int64 {
	if l, ok := e.(*ast.BasicLit); ok {
		n, err := strconv.ParseInt(l.Value, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

func text(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		s, err := strconv.Unquote(l.Value)
		if err == nil {
			return s
		}
	}
	return ""
}

func truth(e ast.Expr) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == "true"
}
