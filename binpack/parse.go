package binpack

import (
	"math"
	"slices"
	"strings"
)

// The text form, read. It is meant to be typed by hand into a test or a bug report,
// and to be read without a manual; so a line is one thing, what is usual need not be
// said, and every error points at the word that is wrong.

// Parse reads the text form of a problem: a line for each thing, in any order.
//
//	resources cpu memory pods
//	key zone us-east-1a us-east-1b
//	pool default weight 10 fee $0.001 left 64000 - - nodes 20 minvalues 0 2
//	offer m5.large default $0.096 1930 7000 29 overhead 100 200 2 charge 2000 8192 0 at us-east-1a values 7
//	node ip-10-0-0-1 500 1024 10 at us-east-1b
//	group web 12 500 1024 1 priority 100 max 3 offers m5.large nodes all but ip-10-0-0-1
//	exclusion apart hostname of web from web
//	spread even zone owners web counted web skew 1 min 2 over us-east-1a 3 us-east-1b 0
//	affinity near zone owners web targets web present us-east-1a
//	stock odcr 3 offers m5.large
//	stock plan 500 offers m5.large m5.xlarge units 96 192
//	set large m5.large m5.xlarge
//	steps 100000
//	blend
//
// Positions after the name are obligatory, clauses with a keyword are not. "-"
// is an unlimited limit, or no domain. Lists of names may be "all", "none", "all
// but" some, or "@large" for a set. A group without offers or nodes may use all.
// Names that are keywords or hold spaces stand in quotation marks; # begins a
// remark. Errors name line and word. Parse does not validate.
func Parse(text string) (*Problem, error) {
	// Two readings: the first collects names, so that the second knows them all
	// and lines may stand in any order.
	r := &reader{p: &Problem{}, names: map[string]map[string]int{}, sets: map[string][]word{}, every: map[string]Set{}}
	var lines [][]word
	for i, line := range strings.Split(text, "\n") {
		words, err := lex(line, i+1)
		if err != nil {
			return nil, err
		}
		if len(words) == 0 {
			continue
		}
		if err := r.define(words); err != nil {
			return nil, err
		}
		lines = append(lines, words)
	}
	for _, words := range lines {
		r.words = words[1:]
		r.last = words[len(words)-1]
		if err := statements[words[0].text].read(r); err != nil {
			return nil, err
		}
		if len(r.words) > 0 {
			return nil, r.words[0].errorf("%q is not expected here", r.words[0].text)
		}
	}
	return r.p, nil
}

// A statement is a kind of line.
type statement struct {
	named bool // the word after the keyword is a name that others refer to
	read  func(*reader) error
}

var statements map[string]statement

// init breaks the cycle: statements refer to methods that refer to statements.
func init() {
	statements = map[string]statement{
		"resources": {false, (*reader).done}, "key": {true, (*reader).done}, "set": {true, (*reader).done},
		"pool": {true, (*reader).pool}, "offer": {true, (*reader).offer}, "node": {true, (*reader).node},
		"group": {true, (*reader).group}, "exclusion": {true, (*reader).exclusion},
		"spread": {true, (*reader).spread}, "affinity": {true, (*reader).affinity},
		"stock": {true, (*reader).stock}, "steps": {false, (*reader).steps}, "blend": {false, (*reader).blend},
	}
}

// A reader reads one line at a time, its words from the left.
type reader struct {
	p     *Problem
	names map[string]map[string]int // by kind: index by name
	sets  map[string][]word
	every map[string]Set // by kind: all of it, shared by those who may use all
	words []word         // still to be read
	last  word           // of the line, to name in errors
}

// define notes the name that a line introduces, so that others may refer to it
// from before.
func (r *reader) define(words []word) error {
	kind := words[0]
	s, ok := statements[kind.text]
	if !ok || kind.quoted {
		return kind.errorf("%q begins no statement", kind.text)
	}
	if s.named {
		if len(words) < 2 {
			return kind.errorf("%s without a name", kind.text)
		}
		if err := r.name(kind.text, words[1]); err != nil {
			return err
		}
	}
	switch kind.text {
	case "resources":
		for _, w := range words[1:] {
			r.p.Resources = append(r.p.Resources, w.text)
		}
	case "key":
		r.p.Keys = append(r.p.Keys, words[1].text)
		r.p.Domains = append(r.p.Domains, nil)
		for _, w := range words[2:] {
			if err := r.name("domain of "+words[1].text, w); err != nil {
				return err
			}
			k := len(r.p.Keys) - 1
			r.p.Domains[k] = append(r.p.Domains[k], w.text)
		}
	case "set":
		r.sets[words[1].text] = words[2:]
	}
	return nil
}

// name gives w the next index of its kind.
func (r *reader) name(kind string, w word) error {
	if r.names[kind] == nil {
		r.names[kind] = map[string]int{}
	}
	if _, ok := r.names[kind][w.text]; ok {
		return w.errorf("%s %q is there already", kind, w.text)
	}
	r.names[kind][w.text] = len(r.names[kind])
	return nil
}

// done skips a line that define has read.
func (r *reader) done() error {
	r.words = nil
	return nil
}

// next takes a word.
func (r *reader) next(what string) (word, error) {
	if len(r.words) == 0 {
		return word{}, r.last.errorf("the line ends where %s should follow", what)
	}
	w := r.words[0]
	r.words = r.words[1:]
	return w, nil
}

// ref takes the name of something of a kind.
func (r *reader) ref(kind string) (int, error) {
	w, err := r.next("a " + kind)
	if err != nil {
		return 0, err
	}
	return r.find(kind, w)
}

// find looks up a name of a kind that define has noted.
func (r *reader) find(kind string, w word) (int, error) {
	i, ok := r.names[kind][w.text]
	if !ok {
		return 0, w.errorf("there is no %s %q", kind, w.text)
	}
	return i, nil
}

// number takes an integer.
func (r *reader) number(what string) (int64, error) {
	w, err := r.next(what)
	if err != nil {
		return 0, err
	}
	return w.number()
}

// small takes a number that goes into an int32.
func (r *reader) small(what string) (int32, error) {
	w, err := r.next(what)
	if err != nil {
		return 0, err
	}
	n, err := w.number()
	if err == nil && (n > math.MaxInt32 || n < math.MinInt32) {
		err = w.errorf("%d does not go into 32 bits", n)
	}
	return int32(n), err
}

// price takes an amount of dollars.
func (r *reader) price() (MicroUSD, error) {
	w, err := r.next("a price")
	if err != nil {
		return 0, err
	}
	return w.price()
}

// vector takes a quantity for each resource; "-" is Unlimited.
func (r *reader) vector() (Vector, error) {
	v := make(Vector, len(r.p.Resources))
	for i, name := range r.p.Resources {
		w, err := r.next("a quantity of " + name)
		if err != nil {
			return nil, err
		}
		if w.is("-") {
			v[i] = Unlimited
		} else if v[i], err = w.number(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// numbers takes all numbers up to the next clause.
func (r *reader) numbers() ([]int64, error) {
	var out []int64
	for len(r.words) > 0 && !r.words[0].keyword() {
		n, err := r.number("a number")
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// at takes a domain for each key.
func (r *reader) at() ([]int, error) {
	out := r.nowhere()
	for k, key := range r.p.Keys {
		w, err := r.next("a domain of " + key)
		if err != nil {
			return nil, err
		}
		if w.is("-") {
			continue
		}
		if out[k], err = r.find("domain of "+key, w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nowhere is no domain of any key.
func (r *reader) nowhere() []int {
	return slices.Repeat([]int{NoDomain}, len(r.p.Keys))
}

// list takes a list of names up to the next clause.
func (r *reader) list(kind string) (Set, error) {
	var all bool
	var out Set
	if len(r.words) > 0 && r.words[0].is("none") {
		r.words = r.words[1:]
		return nil, nil
	}
	// "all but x" is read as x first, and turned around at the end.
	if len(r.words) > 0 && r.words[0].is("all") {
		all = true
		r.words = r.words[1:]
		if len(r.words) > 0 && r.words[0].is("but") {
			r.words = r.words[1:]
		}
	}
	for len(r.words) > 0 && !r.words[0].keyword() {
		w := r.words[0]
		r.words = r.words[1:]
		names := []word{w}
		if set, ok := strings.CutPrefix(w.text, "@"); ok && !w.quoted {
			// A set is a macro: its words are read as if they stood here.
			if names, ok = r.sets[set]; !ok {
				return nil, w.errorf("there is no set %q", set)
			}
		}
		for _, w := range names {
			i, err := r.find(kind, w)
			if err != nil {
				return nil, err
			}
			out.Add(i)
		}
	}
	if all {
		return r.others(kind, out), nil
	}
	return out, nil
}

// others is everything of a kind that is not in s.
func (r *reader) others(kind string, s Set) Set {
	// All groups that may go anywhere share one set.
	if all := r.every[kind]; s == nil && all != nil {
		return all
	}
	var out Set
	for i := range len(r.names[kind]) {
		if !s.Has(i) {
			out.Add(i)
		}
	}
	if s == nil {
		r.every[kind] = out
	}
	return out
}

// clauses reads clauses in any order, each at most once.
func (r *reader) clauses(read map[string]func() error) error {
	seen := map[string]bool{}
	for len(r.words) > 0 {
		w := r.words[0]
		// Clauses may stand in any order, but saying a thing twice is a mistake.
		f := read[w.text]
		if f == nil || w.quoted || seen[w.text] {
			return w.errorf("%q is not expected here", w.text)
		}
		seen[w.text] = true
		r.words = r.words[1:]
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
