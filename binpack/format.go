package binpack

import (
	"fmt"
	"strconv"
	"strings"
)

// The text form, written. What is written is exactly what Parse reads back, and two
// equal problems are written with the same bytes: clauses have one order, lists are
// by index, and the shorter of a list and its complement is chosen by a fixed rule.
//
// The text of a Solution is for reading and comparing only. It names things by ID,
// so that the solutions of a problem and of the same problem shuffled can be
// compared as texts.

// Text writes p in the form that [Parse] reads, a nil Vector as zeros where the
// form has no way to leave it out. p must be valid. Parsing the text gives p
// again, and its text the same bytes.
func (p *Problem) Text() string {
	w := &writer{p: p}
	w.line("resources", quoteAll(p.Resources)...)
	for k, key := range p.Keys {
		w.line("key", append([]string{quote(key)}, quoteAll(p.Domains[k])...)...)
	}
	if p.MaxSteps != 0 {
		w.line("steps", num(p.MaxSteps))
	}
	if p.Blend {
		w.line("blend")
	}
	for i := range p.Pools {
		w.pool(&p.Pools[i])
	}
	for i := range p.Offers {
		w.offer(&p.Offers[i])
	}
	for i := range p.Stocks {
		s := &p.Stocks[i]
		w.line("stock", quote(s.ID), num(s.Count), "offers", w.list(s.Offers, len(p.Offers), w.offerID), w.units(s))
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		w.line("node", quote(n.ID), w.vector(n.Free), w.at(n.Domains))
	}
	// Sets stand before the groups that use them, for people who read on.
	w.shareSets()
	for i := range p.Groups {
		w.group(&p.Groups[i])
	}
	w.relations()
	return w.b.String()
}

// A writer writes lines. Lists that groups repeat get a name.
type writer struct {
	p      *Problem
	b      strings.Builder
	shared map[string]string // by list: its name
}

// line writes the words that are not empty.
func (w *writer) line(keyword string, words ...string) {
	w.b.WriteString(keyword)
	for _, word := range words {
		if word != "" {
			w.b.WriteByte(' ')
			w.b.WriteString(word)
		}
	}
	w.b.WriteByte('\n')
}

// num writes an integer of any of the package's types.
func num[T ~int | ~int32 | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// clause writes a keyword and a number that is not zero.
func clause[T ~int | ~int32 | ~int64](keyword string, n T) string {
	if n == 0 {
		return ""
	}
	return keyword + " " + num(n)
}

// quoteAll writes names, each so that it is read back as one.
func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = quote(name)
	}
	return out
}

// vector writes a quantity for each resource. An unlimited one is "-", which is
// easier to see than the largest integer.
func (w *writer) vector(v Vector) string {
	words := make([]string, len(w.p.Resources))
	for r := range words {
		if words[r] = num(v.at(r)); v.at(r) == Unlimited {
			words[r] = "-"
		}
	}
	return strings.Join(words, " ")
}

// optional writes a clause of a vector, unless it is nil.
func (w *writer) optional(keyword string, v Vector) string {
	if v == nil {
		return ""
	}
	return strings.TrimSuffix(keyword+" "+w.vector(v), " ")
}

// at writes the domains of a place, unless it has none.
func (w *writer) at(domains []int) string {
	words, some := []string{"at"}, false
	for k, d := range domains {
		if d == NoDomain {
			words = append(words, "-")
			continue
		}
		words, some = append(words, quote(w.p.Domains[k][d])), true
	}
	if !some {
		return ""
	}
	return strings.Join(words, " ")
}

// pool writes a pool, without the clauses that say what holds anyway.
func (w *writer) pool(pool *Pool) {
	words := []string{quote(pool.ID), clause("weight", pool.Weight)}
	if pool.NodeFee != 0 {
		words = append(words, "fee "+pool.NodeFee.String())
	}
	words = append(words, w.optional("left", pool.Left))
	if pool.NodesLeft != Unlimited {
		words = append(words, "nodes "+num(pool.NodesLeft))
	}
	if len(pool.MinValues) > 0 {
		words = append(words, "minvalues")
	}
	for _, m := range pool.MinValues {
		words = append(words, num(m.Label), num(m.Min))
	}
	w.line("pool", words...)
}

// offer writes an offer: one line, since there are thousands.
func (w *writer) offer(o *Offer) {
	words := []string{quote(o.ID), quote(w.p.Pools[o.Pool].ID), o.Price.String(), w.vector(o.Capacity),
		w.optional("overhead", o.Overhead), w.optional("charge", o.Charge), w.at(o.Domains)}
	if len(o.Values) > 0 {
		words = append(words, "values")
	}
	for _, v := range o.Values {
		words = append(words, num(v))
	}
	words = append(words, clause("variant", o.Variant))
	if o.Relaxed {
		words = append(words, "relaxed")
	}
	w.line("offer", words...)
}

// offerID, nodeID and groupID name the members of lists.
func (w *writer) offerID(i int) string { return w.p.Offers[i].ID }
func (w *writer) nodeID(i int) string  { return w.p.Nodes[i].ID }
func (w *writer) groupID(i int) string { return w.p.Groups[i].ID }

// group writes a group. Most may go anywhere, so that is what no clause means;
// the other lists are long, and written by name if several groups have them.
func (w *writer) group(g *Group) {
	words := []string{quote(g.ID), num(g.Count), w.vector(g.Requests),
		clause("priority", g.Priority), clause("max", g.MaxPerNode)}
	if list := w.list(g.Offers, len(w.p.Offers), w.offerID); list != "all" {
		words = append(words, "offers", w.share(list))
	}
	if list := w.list(g.Nodes, len(w.p.Nodes), w.nodeID); list != "all" {
		words = append(words, "nodes", w.share(list))
	}
	if g.Unsupported != "" {
		words = append(words, "unsupported", quote(g.Unsupported))
	}
	w.line("group", words...)
}

// list names the members of s, or of all n things the others if those are fewer.
// "all" goes before "none", so that an empty list has one way to be written.
func (w *writer) list(s Set, n int, id func(int) string) string {
	switch k := s.Len(); {
	case k == n:
		return "all"
	case k == 0:
		return "none"
	case k > n/2:
		words := []string{"all but"}
		for i := range n {
			if !s.Has(i) {
				words = append(words, quote(id(i)))
			}
		}
		return strings.Join(words, " ")
	default:
		var words []string
		for i := range s.All {
			words = append(words, quote(id(i)))
		}
		return strings.Join(words, " ")
	}
}

// units are those of a stock's offers; nothing where each takes one.
func (w *writer) units(s *Stock) string {
	if s.Units == nil {
		return ""
	}
	words := []string{"units"}
	for o := range s.Offers.All {
		words = append(words, num(s.Units[o]))
	}
	return strings.Join(words, " ")
}

// shareSets names the lists of offers and nodes that several groups have and
// that are longer than a few words. A thousand groups on five thousand offers would
// fill megabytes otherwise. Names are by first use: they mean nothing.
func (w *writer) shareSets() {
	const few = 4
	uses := map[string]int{}
	w.shared = map[string]string{}
	for i := range w.p.Groups {
		g := &w.p.Groups[i]
		for _, list := range []string{
			w.list(g.Offers, len(w.p.Offers), w.offerID), w.list(g.Nodes, len(w.p.Nodes), w.nodeID),
		} {
			if strings.Count(list, " ") < few {
				continue
			}
			if uses[list]++; uses[list] == 2 {
				name := "set" + num(len(w.shared)+1)
				w.shared[list] = name
				w.line("set", name, strings.TrimPrefix(list, "all but "))
			}
		}
	}
}

// share writes the name of a list if it has one.
func (w *writer) share(list string) string {
	name, ok := w.shared[list]
	if !ok {
		return list
	}
	if strings.HasPrefix(list, "all but ") {
		return "all but @" + name
	}
	return "@" + name
}

// relations writes what ties groups together. Groups come before it, so a reader
// knows the names; Parse would not mind.
func (w *writer) relations() {
	p := w.p
	groups := func(s Set) string { return w.list(s, len(p.Groups), w.groupID) }
	for i := range p.Exclusions {
		x := &p.Exclusions[i]
		w.line("exclusion", quote(x.ID), w.key(x.Key), "of", groups(x.A), "from", groups(x.B))
	}
	for i := range p.Spreads {
		s := &p.Spreads[i]
		words := []string{quote(s.ID), w.key(s.Key), "owners", groups(s.Owners), "counted", groups(s.Counted),
			"skew", num(s.MaxSkew), clause("min", s.MinDomains)}
		if len(s.Domains) > 0 {
			words = append(words, "over")
		}
		for _, d := range s.Domains {
			words = append(words, quote(w.domain(s.Key, d.Domain)), num(d.Count))
		}
		w.line("spread", words...)
	}
	for i := range p.Affinities {
		a := &p.Affinities[i]
		present := w.list(a.Present, p.domainCount(a.Key), func(d int) string { return w.domain(a.Key, d) })
		if present == "none" || a.Present.Len() == 0 {
			present = ""
		} else {
			present = "present " + present
		}
		w.line("affinity", quote(a.ID), w.key(a.Key), "owners", groups(a.Owners), "targets", groups(a.Targets), present)
	}
}

// key names a topology key. Hostname is a keyword: a key of that name is quoted.
func (w *writer) key(k int) string {
	if k == Hostname {
		return "hostname"
	}
	return quote(w.p.Keys[k])
}

// domain names a domain: over Hostname, an existing node.
func (w *writer) domain(key, d int) string {
	if key == Hostname {
		return w.p.Nodes[d].ID
	}
	return w.p.Domains[key][d]
}

// Text writes s, a solution of p, for people, and for tests to compare: it holds
// all of s but the steps.
//
//   - 2 × m5.large $0.096000/h, or m5a.large $0.110000/h
//     web ×2
//     = ip-10-0-0-1
//     web ×8
//     ! huge ×1
//     InsufficientResources: pool default: cpu 64000 of 1930
//     cost $0.192000/h on 2 new nodes, at least $0.190000/h
func (s *Solution) Text(p *Problem) string {
	var b strings.Builder
	pods := func(list []Share) {
		for _, sh := range list {
			fmt.Fprintf(&b, "    %s ×%d\n", quote(p.Groups[sh.Group].ID), sh.Count)
		}
	}
	// Patterns are said once, with their count.
	nodes := int64(0)
	for _, n := range s.New {
		nodes += n.Count
		fmt.Fprintf(&b, "+ %d × ", n.Count)
		for i, o := range n.Offers {
			if i > 0 {
				b.WriteString(", or ")
			}
			fmt.Fprintf(&b, "%s %v/h", quote(p.Offers[o].ID), p.Offers[o].Price)
		}
		b.WriteByte('\n')
		pods(n.Pods)
	}
	for _, f := range s.Fills {
		fmt.Fprintf(&b, "= %s\n", quote(p.Nodes[f.Node].ID))
		pods(f.Pods)
	}
	for _, u := range s.Unplaced {
		fmt.Fprintf(&b, "! %s ×%d\n", quote(p.Groups[u.Group].ID), u.Count)
		for _, r := range u.Reasons {
			fmt.Fprintf(&b, "    %s\n", r.Text(p))
		}
	}
	fmt.Fprintf(&b, "cost %v/h on %d new nodes, at least %v/h\n", s.Cost, nodes, s.LowerBound)
	if s.Truncated {
		b.WriteString("truncated\n")
	}
	return b.String()
}

// Text says r in words: code, pool, what is wanted of what there is, and the
// constraint.
func (r Reason) Text(p *Problem) string {
	words := []string{string(r.Code)}
	if r.Pool >= 0 {
		words = append(words, "pool "+quote(p.Pools[r.Pool].ID))
	}
	if r.Resource >= 0 {
		words = append(words, fmt.Sprintf("%s %d of %d", quote(p.Resources[r.Resource]), r.Wanted, r.Best))
	} else if r.Code == LimitReached {
		words = append(words, "nodes")
	}
	if r.Constraint != "" {
		words = append(words, quote(r.Constraint))
	}
	return strings.Join(words, ": ")
}
