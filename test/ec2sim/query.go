package ec2sim

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params are the parameters of a Query request, or, after sub, of one structure
// in it. Lists are flattened in EC2's way: Filter.1.Value.2.
type params struct {
	form   url.Values
	prefix string // "" or ends in a dot
}

// str returns a parameter, empty if it is absent.
func (p params) str(name string) string { return p.form.Get(p.prefix + name) }

// need returns a parameter that must be there.
func (p params) need(name string) (string, error) {
	if v := p.str(name); v != "" {
		return v, nil
	}
	return "", fail("MissingParameter", "The request must contain the parameter %s", p.prefix+name)
}

// boolean is false if the parameter is absent.
func (p params) boolean(name string) bool { return p.str(name) == "true" }

// integer returns a number, or the given one if the parameter is absent.
func (p params) integer(name string, absent int) (int, error) {
	v := p.str(name)
	if v == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. It must be an integer", v, p.prefix+name)
	}
	return n, nil
}

// number is integer for fractions.
func (p params) number(name string, absent float64) (float64, error) {
	v := p.str(name)
	if v == "" {
		return absent, nil
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return 0, fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. It must be a number", v, p.prefix+name)
	}
	return n, nil
}

// time returns a time, the zero one if the parameter is absent.
func (p params) time(name string) (time.Time, error) {
	v := p.str(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. It must be a date and time", v, p.prefix+name)
	}
	return t, nil
}

// sub returns the structure named name.
func (p params) sub(name string) params { return params{p.form, p.prefix + name + "."} }

// present says whether any parameter of the structure is there.
func (p params) present() bool {
	for k := range p.form {
		if strings.HasPrefix(k, p.prefix) {
			return true
		}
	}
	return false
}

// list returns name.1, name.2, ….
func (p params) list(name string) []string {
	var out []string
	// Numbers begin at 1. What comes after a gap is not seen: no SDK leaves one.
	for i := 1; ; i++ {
		v, ok := p.form[fmt.Sprintf("%s%s.%d", p.prefix, name, i)]
		if !ok {
			return out
		}
		out = append(out, v[0])
	}
}

// each returns the structures name.1, name.2, ….
func (p params) each(name string) []params {
	var out []params
	for i := 1; ; i++ {
		s := p.sub(fmt.Sprintf("%s.%d", name, i))
		if !s.present() {
			return out
		}
		out = append(out, s)
	}
}

// tags reads a list of Key and Value.
func (p params) tags(name string) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range p.each(name) {
		key, value := t.str("Key"), t.str("Value")
		switch {
		case key == "":
			return nil, fail("InvalidParameterValue", "Tag key cannot be empty")
		// Nobody but AWS may set these; fulfil does, as the fleet that it is.
		case strings.HasPrefix(key, "aws:"):
			return nil, fail("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case len(key) > 128:
			return nil, fail("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
		case len(value) > 256:
			return nil, fail("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
		}
		if _, twice := out[key]; twice {
			return nil, fail("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		out[key] = value
	}
	if len(out) > 50 {
		return nil, fail("TagLimitExceeded", "The maximum number of Tags is 50")
	}
	return out, nil
}

// tagsFor reads the TagSpecifications of the given resource types, and refuses
// others.
func (p params) tagsFor(name string, allowed ...string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, spec := range p.each(name) {
		kind := spec.str("ResourceType")
		if !slices.Contains(allowed, kind) {
			return nil, fail("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		tags, err := spec.tags("Tag")
		if err != nil {
			return nil, err
		}
		out[kind] = tags
	}
	return out, nil
}

// A fields maps the name of a filter to the values that an item has for it.
type fields[T any] map[string]func(T) []string

// one makes a field of a single value.
func one[T any](f func(T) string) func(T) []string {
	return func(t T) []string { return []string{f(t)} }
}

// flag makes a field of a boolean.
func flag[T any](f func(T) bool) func(T) []string {
	return func(t T) []string { return []string{strconv.FormatBool(f(t))} }
}

// filter keeps the items that match every Filter of the request: one of its
// values, * and ? standing for anything. tags may be nil.
func filter[T any](p params, items []T, known fields[T], tags func(T) map[string]string) ([]T, error) {
	for _, f := range p.each("Filter") {
		name, values := f.str("Name"), f.list("Value")
		of, ok := known[name]
		if !ok && tags != nil {
			of, ok = tagField(name, tags)
		}
		if !ok {
			return nil, fail("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		// Would it match nothing, or everything? Rather an error than a guess.
		if len(values) == 0 {
			return nil, fail("InvalidParameterValue", "The filter '%s' has no values", name)
		}
		// Filters are joined by and, the values of one by or.
		items = slices.DeleteFunc(slices.Clone(items), func(t T) bool { return !matches(of(t), values) })
	}
	return items, nil
}

// tagField makes a field of tag:<key>, tag-key or tag-value.
func tagField[T any](name string, tags func(T) map[string]string) (func(T) []string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		return func(t T) []string {
			if v, ok := tags(t)[key]; ok {
				return []string{v}
			}
			return nil
		}, true
	}
	pick := func(k, _ string) string { return k }
	switch name {
	case "tag-key":
	case "tag-value":
		pick = func(_, v string) string { return v }
	default:
		return nil, false
	}
	return func(t T) []string {
		var out []string
		for k, v := range tags(t) {
			out = append(out, pick(k, v))
		}
		return out
	}, true
}

// matches says whether any value is matched by any pattern.
func matches(values, patterns []string) bool {
	for _, v := range values {
		for _, p := range patterns {
			if v == p || strings.ContainsAny(p, "*?") && wild(p, v) {
				return true
			}
		}
	}
	return false
}

// wild is shell matching in which * also matches a slash, and [ means itself.
func wild(pattern, s string) bool {
	// The NUL stands in for the slash, at which path.Match would stop; no text of AWS's
	// holds one.
	flat := strings.NewReplacer("/", "\x00", "[", "\\[", "]", "\\]")
	ok, err := path.Match(flat.Replace(pattern), strings.ReplaceAll(s, "/", "\x00"))
	return err == nil && ok
}

// bounds are the least, the most and the usual number of results of a page.
type bounds struct{ least, most, usual int }

// page sorts items by key and cuts the page that the request asks for. The token
// of the next page is the last key of this one.
func page[T any](p params, items []T, key func(T) string, b bounds) ([]T, string, error) {
	n, err := p.integer("MaxResults", b.usual)
	if err != nil {
		return nil, "", err
	}
	if n < b.least || n > b.most {
		return nil, "", fail("InvalidParameterValue", "Value (%d) for parameter maxResults is invalid. Expecting a value between %d and %d.", n, b.least, b.most)
	}
	after := ""
	if token := p.str("NextToken"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", fail("InvalidParameterValue", "Unable to parse pagination token")
		}
		after = string(raw)
	}
	// The search is for the first key after the token's, which need not be there
	// any more.
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	from, _ := slices.BinarySearchFunc(items, after+"\x00", func(t T, s string) int { return strings.Compare(key(t), s) })
	if after == "" {
		from = 0
	}
	items = items[from:]
	if len(items) <= n {
		return items, "", nil
	}
	return items[:n], base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1]))), nil
}
