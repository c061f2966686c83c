package apimodel

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// What can be wrong with a member.
const (
	// Unknown is a member that the operation does not have.
	Unknown = "unknown"
	// Missing is one that must be there.
	Missing = "missing"
	// Invalid is one of another type, not in its enum, too long, too many or out of range.
	Invalid = "invalid"
)

// An Error says what is wrong with a request.
type Error struct {
	// Operation as "ec2:CreateFleet", and the Member as the request spells it:
	// "LaunchTemplateConfigs.1.Overrides.2.InstanceType".
	Operation, Member string
	// Kind is Unknown, Missing or Invalid.
	Kind string
	// Problem in words.
	Problem string
}

// Error names operation and member.
func (e *Error) Error() string { return e.Operation + ": " + e.Member + ": " + e.Problem }

// A node is a value of a request, of whatever protocol: either text or members.
type node struct {
	text    string
	leaf    bool
	members map[string]*node
	list    bool // members are named 1, 2, …; told only by JSON
}

// CheckForm holds the parameters of a Query request against the operation's input. What is
// not part of the input (Action, Version) is passed over. The error, if any, is an *Error,
// the first in order of the members' names.
func CheckForm(service, operation string, form url.Values) error {
	root := &node{}
	for key, values := range form {
		if key == "Action" || key == "Version" {
			continue
		}
		at := root
		for _, part := range strings.Split(key, ".") {
			at = at.child(part)
		}
		at.leaf, at.text = true, cmp.Or(values...)
	}
	return check(service, operation, root)
}

// CheckJSON does the same with the body of a JSON request.
func CheckJSON(service, operation string, body []byte) error {
	var v any
	if len(body) == 0 {
		body = []byte("{}")
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return &Error{service + ":" + operation, "(body)", Invalid, err.Error()}
	}
	return check(service, operation, fromJSON(v))
}

// child returns a member, which it makes if it is not there.
func (n *node) child(name string) *node {
	if n.members == nil {
		n.members = map[string]*node{}
	}
	if n.members[name] == nil {
		n.members[name] = &node{}
	}
	return n.members[name]
}

func fromJSON(v any) *node {
	n := &node{}
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			if x != nil {
				n.child(key)
				n.members[key] = fromJSON(x)
			}
		}
	case []any:
		n.list = true
		for i, x := range v {
			n.child(strconv.Itoa(i + 1))
			n.members[strconv.Itoa(i+1)] = fromJSON(x)
		}
	default:
		n.leaf, n.text = true, fmt.Sprint(v)
	}
	return n
}

// A checker walks one request.
type checker struct {
	service   Service
	operation string // with the service
}

func check(service, operation string, root *node) error {
	c := checker{load().Services[service], service + ":" + operation}
	input, ok := c.service.Operations[operation]
	if !ok {
		return &Error{c.operation, "(operation)", Unknown, "the API model does not have it"}
	}
	if err := c.structure("", input, root); err != nil {
		return err
	}
	return nil
}

// fail makes an error about a member.
func (c checker) fail(at, kind, format string, args ...any) *Error {
	return &Error{c.operation, cmp.Or(at, "(request)"), kind, fmt.Sprintf(format, args...)}
}

// structure checks members in order of their names, so that the same request always fails
// at the same place.
func (c checker) structure(at, shape string, n *node) *Error {
	if n.leaf || n.list {
		return c.fail(at, Invalid, "%q is no structure %s", n.text, shape)
	}
	known := c.service.Structures[shape]
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		m, ok := known[name]
		if !ok {
			return c.fail(join(at, name), Unknown, "%s has no such member", shape)
		}
		if err := c.value(join(at, name), m, n.members[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if known[name].Required && n.members[name] == nil {
			return c.fail(join(at, name), Missing, "%s must have it", shape)
		}
	}
	return nil
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (c checker) value(at string, m Member, n *node) *Error {
	switch m.Kind {
	case "structure":
		return c.structure(at, m.Shape, n)
	case "list":
		return c.list(at, m, n)
	}
	if !n.leaf {
		return c.fail(at, Invalid, "it is a %s and has no members", m.Kind)
	}
	return c.scalar(at, m, n.text)
}

// list checks that elements are numbered without gaps, and each of them.
func (c checker) list(at string, m Member, n *node) *Error {
	if m.Item != "" && !n.list && len(n.members) > 0 {
		inner := n.members[m.Item]
		if inner == nil || len(n.members) > 1 {
			return c.fail(at, Invalid, "elements of a list are named %s.1, %s.2 and so on", m.Item, m.Item)
		}
		at, n = at+"."+m.Item, inner
	}
	if n.leaf && n.text != "" {
		return c.fail(at, Invalid, "%q is no list", n.text)
	}
	if err := c.bounds(at, m, float64(len(n.members)), "elements"); err != nil {
		return err
	}
	for i := range len(n.members) {
		name := strconv.Itoa(i + 1)
		element := n.members[name]
		if element == nil {
			return c.fail(at, Invalid, "elements are numbered from 1 without gaps; %s is not there", name)
		}
		if err := c.value(at+"."+name, *m.Of, element); err != nil {
			return err
		}
	}
	return nil
}

// scalar checks a value that has no members.
func (c checker) scalar(at string, m Member, text string) *Error {
	var err error
	switch m.Kind {
	case "boolean":
		if text != "true" && text != "false" {
			err = strconv.ErrSyntax
		}
	case "integer", "float":
		var x float64
		if x, err = strconv.ParseFloat(text, 64); err == nil {
			if m.Kind == "integer" && strings.ContainsAny(text, ".eE") {
				err = strconv.ErrSyntax
				break
			}
			return c.bounds(at, m, x, "")
		}
	case "timestamp":
		_, err = time.Parse(time.RFC3339, text)
	case "blob":
		_, err = base64.StdEncoding.DecodeString(text)
	case "string":
		return c.text(at, m, text)
	}
	if err != nil {
		return c.fail(at, Invalid, "%q is no %s", text, m.Kind)
	}
	return nil
}

// text checks a string: its enum, length and pattern.
func (c checker) text(at string, m Member, text string) *Error {
	if m.Shape != "" && !slices.Contains(c.service.Enums[m.Shape], text) {
		return c.fail(at, Invalid, "%q is none of the values of %s", text, m.Shape)
	}
	if err := c.bounds(at, m, float64(utf8.RuneCountInString(text)), "characters"); err != nil {
		return err
	}
	if m.Pattern == "" {
		return nil
	}
	re, err := pattern(m.Pattern)
	if err != nil {
		return c.fail(at, Invalid, "the API model has a pattern that cannot be read: %v", err)
	}
	if !re.MatchString(text) {
		return c.fail(at, Invalid, "%q does not match %s", text, m.Pattern)
	}
	return nil
}

// bounds holds a number against Min and Max; unit is what is counted.
func (c checker) bounds(at string, m Member, x float64, unit string) *Error {
	number := strings.TrimSpace(strconv.FormatFloat(x, 'g', -1, 64) + " " + unit)
	switch {
	case m.Min != nil && x < *m.Min:
		return c.fail(at, Invalid, "%s, at least %g", number, *m.Min)
	case m.Max != nil && x > *m.Max:
		return c.fail(at, Invalid, "%s, at most %.10g", number, *m.Max)
	}
	return nil
}
