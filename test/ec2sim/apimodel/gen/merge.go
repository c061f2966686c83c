package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// A merger makes the model of one service from the SDK's types and an earlier model.
type merger struct {
	name   string
	old    oldModel
	source source
	out    apimodel.Service
}

// operation adds an operation by the type of its input.
func (g *merger) operation(in reflect.Type) error {
	name := strings.TrimSuffix(in.Name(), "Input")
	g.out.Operations[name] = in.Name()
	return g.structure(in, g.old.Operations[name].Input.Shape)
}

// structure adds a structure, and what it is made of; old is its name in the earlier
// model, or empty.
func (g *merger) structure(t reflect.Type, old string) error {
	if g.out.Structures[t.Name()] != nil {
		return nil
	}
	members := map[string]apimodel.Member{}
	g.out.Structures[t.Name()] = members
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Name == "ResultMetadata" {
			continue
		}
		wire, err := g.wire(t.Name(), f.Name, old)
		if err != nil {
			return err
		}
		ref, _ := g.old.member(old, g.name, wire)
		m, err := g.member(f.Type, ref.Shape)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t.Name(), f.Name, err)
		}
		m.Required = g.source.required[t.Name()][f.Name]
		documented.apply(g.name, t.Name()+"."+wire, &m)
		members[wire] = m
	}
	return nil
}

// wire is the name of a field in a request.
func (g *merger) wire(structure, field, old string) (string, error) {
	if len(g.source.wire) > 0 {
		if name := g.source.wire[structure][field]; name != "" {
			return name, nil
		}
		return "", fmt.Errorf("%s.%s: the SDK does not say how it is spelled", structure, field)
	}
	for name := range g.old.Shapes[old].Members {
		if strings.EqualFold(name, field) {
			return name, nil
		}
	}
	if g.name == "eks" {
		return string(unicode.ToLower(rune(field[0]))) + field[1:], nil
	}
	return field, nil
}

// member describes a type; old is the shape of the earlier model.
func (g *merger) member(t reflect.Type, old string) (apimodel.Member, error) {
	was := g.old.Shapes[old]
	m := apimodel.Member{Min: was.Min, Max: was.Max, Pattern: goPattern(was.Pattern)}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		m.Kind = "timestamp"
	case t.Kind() == reflect.Struct:
		m.Kind, m.Shape = "structure", t.Name()
		return m, g.structure(t, old)
	case t == reflect.TypeFor[[]byte]():
		m.Kind = "blob"
	case t.Kind() == reflect.Slice:
		m.Kind = "list"
		if g.name == "iam" || g.name == "sts" {
			m.Item = "member"
		}
		element := ""
		if was.Member != nil {
			element = was.Member.Shape
		}
		of, err := g.member(t.Elem(), element)
		m.Of = &of
		return m, err
	case t.Kind() == reflect.String:
		m.Kind = "string"
		m.Shape = g.enum(t)
	case t.Kind() == reflect.Bool:
		m.Kind = "boolean"
	case t.Kind() == reflect.Int32, t.Kind() == reflect.Int64:
		m.Kind = "integer"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		m.Kind = "float"
	default:
		return m, fmt.Errorf("type %s is not understood", t)
	}
	return m, nil
}

// open are enums that are none: EC2 gets new instance types every month, and an SDK that does
// not know them asks for them all the same. Whether there is one is for the catalog to say.
var open = map[string]bool{"InstanceType": true}

// enum adds the values of an enum and returns its name; empty for a plain string.
func (g *merger) enum(t reflect.Type) string {
	values := reflect.New(t).Elem().MethodByName("Values")
	if !values.IsValid() || open[t.Name()] {
		return ""
	}
	if g.out.Enums[t.Name()] == nil {
		list := values.Call(nil)[0]
		var all []string
		for i := range list.Len() {
			all = append(all, list.Index(i).String())
		}
		g.out.Enums[t.Name()] = all
	}
	return t.Name()
}
