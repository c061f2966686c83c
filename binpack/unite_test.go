package binpack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// withNodes makes a pass whose new nodes are given: "2 small web ×3 cache ×1" are two nodes of
// the offer small, with three pods of web and one of cache on each.
func withNodes(t *testing.T, text string, nodes ...string) (*Problem, *pass) {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newPass(t.Context(), newTable(canonical(p)), recipes[0])
	for _, line := range nodes {
		words := strings.Fields(line)
		o := opened{offer: -1}
		for i := range s.Offers {
			if s.Offers[i].ID == words[1] {
				o.offer = i
			}
		}
		scan(t, words[0], "%d", &o.count)
		for words = words[2:]; len(words) > 0; words = words[2:] {
			for g := range s.Groups {
				if s.Groups[g].ID == words[0] {
					o.pods = append(o.pods, Share{Group: g})
				}
			}
			scan(t, words[1], "×%d", &o.pods[len(o.pods)-1].Count)
		}
		for _, sh := range o.pods {
			for i := range s.cells[sh.Group] {
				if s.cells[sh.Group][i].offers.Has(o.offer) {
					o.cells = append(o.cells, i)
				}
			}
		}
		s.put(o)
	}
	return p, s
}

// scan reads one number.
func scan(t *testing.T, word, format string, n *int64) {
	t.Helper()
	if _, err := fmt.Sscanf(word, format, n); err != nil {
		t.Fatalf("%s: %v", word, err)
	}
}

// put opens nodes of a pattern.
func (s *pass) put(o opened) {
	s.take(o.offer, o.count)
	for i, sh := range o.pods {
		s.placed[sh.Group][o.cells[i]] += sh.Count * o.count
	}
	s.opened = append(s.opened, o)
}

// united is the plan of the pass with its nodes united, by pattern: "2 small web ×3".
func united(t *testing.T, p *Problem, s *pass) string {
	t.Helper()
	s.unite(math.MaxInt64 / 2)
	var lines []string
	for _, o := range s.merged() {
		line := fmt.Sprint(o.count, " ", s.Offers[o.offer].ID)
		for _, sh := range o.pods {
			line += fmt.Sprintf(" %s ×%d", s.Groups[sh.Group].ID, sh.Count)
		}
		lines = append(lines, line)
	}
	s.mustPassVerify(t, p)
	return strings.Join(lines, ", ")
}

// TestUnite: two nodes become one where that costs no more and nothing forbids it.
func TestUnite(t *testing.T) {
	const catalog = `resources cpu
key zone a b
pool default
pool spare
offer s default $1 2 at a
offer m default $2 4 at a
offer l default $4 9 at a
offer m-b default $2 4 at b
`
	for _, test := range []struct {
		name, catalog, more string
		nodes               []string
		want                string
	}{
		{"eight become four, two and one", catalog, "group web 4 2", []string{"4 s web ×1"}, "1 l web ×4"},
		{"an odd one is left", catalog, "group web 3 2", []string{"3 s web ×1"}, "1 m web ×2, 1 s web ×1"},
		{"of different patterns", catalog, "group web 1 2\ngroup cache 1 1", []string{"1 s web ×1", "1 s cache ×1"}, "1 m cache ×1 web ×1"},
		{"of different prices", catalog, "group web 2 2\ngroup cache 1 4", []string{"1 m cache ×1", "2 s web ×1"}, "1 l cache ×1 web ×2"},
		{"a fee makes it cheaper", strings.ReplaceAll(catalog, "pool default", "pool default fee $0.5"), "group web 2 2", []string{"2 s web ×1"}, "1 m web ×2"},
		{"no dearer one", strings.ReplaceAll(catalog, "$2", "$2.01"), "group web 2 2", []string{"2 s web ×1"}, "2 s web ×1"},
		{"into the room of a larger one", catalog, "group web 3 3", []string{"1 l web ×2", "1 m web ×1"}, "1 l web ×3"},
		{"pods that keep apart", catalog, "group web 2 1\nexclusion e hostname of web from web", []string{"2 s web ×1"}, "2 s web ×1"},
		{"at most two", catalog, "group web 3 2\nspread e hostname owners web counted web skew 2", []string{"3 s web ×1"}, "1 m web ×2, 1 s web ×1"},
		{"one excludes the other", catalog, "group web 2 2\ngroup cache 1 2\nexclusion e hostname of web from cache", []string{"1 s cache ×1", "2 s web ×1"}, "1 m web ×2, 1 s cache ×1"},
		{"at most one to a node", catalog, "group web 2 1 max 1", []string{"2 s web ×1"}, "2 s web ×1"},
		{"pairs that belong together", catalog, "group web 1 1\ngroup cache 1 1\ngroup job 1 1\ngroup store 1 1\n" +
			"affinity x hostname owners web targets cache\naffinity y hostname owners job targets store",
			[]string{"1 s cache ×1 web ×1", "1 s job ×1 store ×1"}, "1 m cache ×1 job ×1 store ×1 web ×1"},
		{"in two zones", catalog, "group web 2 2\nspread e zone owners web counted web skew 1 over a 0 b 0", []string{"1 m web ×1", "1 m-b web ×1"}, "1 m web ×1, 1 m-b web ×1"},
		{"one may use no other offer", catalog, "group web 1 2 offers s\ngroup cache 1 2", []string{"1 s web ×1", "1 s cache ×1"}, "1 s cache ×1, 1 s web ×1"},
		{"the limit lets one", strings.ReplaceAll(catalog, "pool default", "pool default left 5"), "group web 4 1", []string{"2 s web ×2"}, "1 m web ×4"},
		{"a stock has one", catalog + "stock few 1 offers m\n", "group web 4 2 offers s m", []string{"4 s web ×1"}, "1 m web ×2, 2 s web ×1"},
		{"not from a heavier pool", strings.ReplaceAll(catalog, "pool default", "pool default weight 1") + "offer x spare $1 2 at a\n",
			"group web 1 2\ngroup cache 1 2 offers x", []string{"1 s web ×1", "1 x cache ×1"}, "1 s web ×1, 1 x cache ×1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, s := withNodes(t, test.catalog+test.more, test.nodes...)
			if got := united(t, p, s); got != test.want {
				t.Errorf("%s became %s, want %s", strings.Join(test.nodes, ", "), got, test.want)
			}
		})
	}
}

// TestNothingIsLeftToUnite: of plans with a node for each pod, and with exclusions and a stock, no
// two nodes are left that one offer holds for no more money. That is not promised where each of
// them may become what the other may not, nor for what a stock gets back.
func TestNothingIsLeftToUnite(t *testing.T) {
	fewer := 0
	forSeeds(t, 500, shape{pods: 30, offers: 12}, func(t *testing.T, r *rand.Rand, p *Problem) {
		for range r.IntN(3) {
			x := Exclusion{ID: fmt.Sprint("exclusion", len(p.Exclusions)), Key: Hostname}
			x.A.Add(r.IntN(len(p.Groups)))
			x.B.Add(r.IntN(len(p.Groups)))
			p.Exclusions = append(p.Exclusions, x)
		}
		if r.IntN(2) == 0 {
			s := Stock{ID: "few", Count: r.Int64N(40)}
			s.Offers.Add(r.IntN(len(p.Offers)))
			p.Stocks = append(p.Stocks, s)
		}
		s := newPass(t.Context(), newTable(canonical(p)), recipes[0])
		for g := range s.Groups {
			for _, o := range s.byTurn(s.Groups[g].Offers) {
				if n := s.allowed(o, s.Groups[g].Count); n > 0 && covers(s.room[o], s.need[g]) {
					s.put(opened{offer: o, count: n, pods: []Share{{g, 1}}, cells: []int{0}})
					break
				}
			}
		}
		nodes, cost := s.nodes(), s.cost()
		s.unite(math.MaxInt64 / 2)
		if s.nodes() > nodes || s.cost() > cost {
			t.Errorf("%d nodes for %v became %d for %v", nodes, cost, s.nodes(), s.cost())
		}
		if s.nodes() < nodes {
			fewer++
		}
		for i := range s.opened {
			for j := range s.opened[:i+1] {
				if a, b := &s.opened[i], &s.opened[j]; i != j || a.count > 1 {
					s.mustStayTwo(t, a, b)
				}
			}
		}
		if !s.isShort() {
			s.mustPassVerify(t, p)
		}
	})
	if fewer < 100 {
		t.Errorf("only %d plans got fewer nodes", fewer)
	}
}

// mustPassVerify has Verify judge the plan, but for its bound.
func (s *pass) mustPassVerify(t *testing.T, p *Problem) {
	t.Helper()
	out := s.solution()
	s.restore(out)
	out.LowerBound = 0
	if err := Verify(p, out); err != nil {
		t.Errorf("refused: %v\n%s", err, out.Text(p))
	}
}

// TestUnitedPlansPassVerify: with everything that binds pods, on first plans of problems in
// which large offers are as good as small ones.
func TestUnitedPlansPassVerify(t *testing.T) {
	united := 0
	forSeeds(t, 2000, rich, func(t *testing.T, r *rand.Rand, p *Problem) {
		for i := range p.Offers {
			if o := &p.Offers[i]; r.IntN(3) == 0 {
				for k := range o.Capacity {
					o.Capacity[k] *= 4
				}
				o.Price *= 4
			}
		}
		few := func() (s Set) {
			for range 1 + r.IntN(2) {
				s.Add(r.IntN(len(p.Groups)))
			}
			return s
		}
		for i := range r.IntN(3) {
			p.Affinities = append(p.Affinities, Affinity{ID: fmt.Sprint("more", i), Key: Hostname, Owners: few(), Targets: few()})
		}
		if r.IntN(2) == 0 {
			p.Spreads = append(p.Spreads, Spread{ID: "more", Key: Hostname, MaxSkew: 1 + r.Int64N(3), Owners: few(), Counted: few()})
		}
		if r.IntN(3) == 0 {
			s := Stock{ID: "more", Count: r.Int64N(6)}
			for o := range p.Offers {
				if r.IntN(3) == 0 {
					s.Offers.Add(o)
				}
			}
			p.Stocks = append(p.Stocks, s)
		}
		s := newTable(canonical(p)).plan(t.Context(), recipes[r.IntN(4)], nil, 0)
		nodes := s.nodes()
		s.unite(math.MaxInt64 / 2)
		if s.nodes() < nodes {
			united++
		}
		s.mustPassVerify(t, p)
	})
	if united < 40 {
		t.Errorf("only %d plans got fewer nodes", united)
	}
}

// byTurn lists the offers of a set that hold any pod, the cheapest first.
func (s *pass) byTurn(offers Set) (out []int) {
	for o := range offers.All {
		if s.room[o] != nil {
			out = append(out, o)
		}
	}
	return s.frontier(out, func(int, int) bool { return false })
}

// mustStayTwo looks for an offer that holds a node of each of two patterns, and may.
func (s *pass) mustStayTwo(t *testing.T, a, b *opened) {
	t.Helper()
	pods := append(append([]Share(nil), a.pods...), b.pods...)
	load := s.sum(pods)
	u := &union{pass: s}
	x, y := u.lot(*a), u.lot(*b)
	if both := x.may.and(y.may); both.Len() < min(x.may.Len(), y.may.Len()) {
		return
	}
	for i := range s.Exclusions {
		x := &s.Exclusions[i]
		for k, sh := range pods {
			for l, other := range pods {
				if x.A.Has(sh.Group) && x.B.Has(other.Group) && (k != l || sh.Count > 1) {
					return
				}
			}
		}
	}
	for o := range s.Offers {
		ok := s.room[o] != nil && covers(s.room[o], load) && s.price[o] <= s.price[a.offer]+s.price[b.offer] && len(s.stocks[o]) == 0
		for _, sh := range pods {
			ok = ok && s.Groups[sh.Group].Offers.Has(o)
		}
		if ok && s.weightOf(o) == s.weightOf(a.offer) && s.weightOf(o) == s.weightOf(b.offer) {
			t.Errorf("%s could hold %v of %s and %v of %s", s.Offers[o].ID, a.pods, s.Offers[a.offer].ID, b.pods, s.Offers[b.offer].ID)
		}
	}
}
