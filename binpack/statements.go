package binpack

// into makes a clause of a function that reads a value and the place it goes.
func into[T any](to *T, read func() (T, error)) func() error {
	return func() (err error) {
		*to, err = read()
		return err
	}
}

// about makes a reader of one that needs to be told what it reads.
func about[A, T any](what A, read func(A) (T, error)) func() (T, error) {
	return func() (T, error) { return read(what) }
}

// pool: NAME [weight N] [fee $] [left QUANTITY…] [nodes N] [minvalues LABEL MIN …]
func (r *reader) pool() error {
	// Unlike a Pool's zero value, a pool without clauses has no limits.
	pool := Pool{ID: r.words[0].text, NodesLeft: Unlimited}
	r.words = r.words[1:]
	err := r.clauses(map[string]func() error{
		"weight": into(&pool.Weight, about("a weight", r.small)),
		"fee":    into(&pool.NodeFee, r.price),
		"left":   into(&pool.Left, r.vector),
		"nodes":  into(&pool.NodesLeft, about("a number of nodes", r.number)),
		// Pairs, so that one clause says all of them.
		"minvalues": func() error {
			last := r.last
			numbers, err := r.numbers()
			if err == nil && len(numbers)%2 != 0 {
				err = last.errorf("minvalues wants pairs of a label and a number")
			}
			for ; err == nil && len(numbers) > 0; numbers = numbers[2:] {
				pool.MinValues = append(pool.MinValues, MinValues{Label: int(numbers[0]), Min: numbers[1]})
			}
			return err
		},
	})
	r.p.Pools = append(r.p.Pools, pool)
	return err
}

// offer: NAME POOL $ CAPACITY… [overhead …] [charge …] [at DOMAIN…] [values N …] [variant N] [relaxed]
func (r *reader) offer() (err error) {
	o := Offer{ID: r.words[0].text, Domains: r.nowhere()}
	r.words = r.words[1:]
	if o.Pool, err = r.ref("pool"); err != nil {
		return err
	}
	if o.Price, err = r.price(); err != nil {
		return err
	}
	if o.Capacity, err = r.vector(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{
		"overhead": into(&o.Overhead, r.vector),
		"charge":   into(&o.Charge, r.vector),
		"at":       into(&o.Domains, r.at),
		"values":   into(&o.Values, r.numbers),
		"variant":  into(&o.Variant, about("a variant", r.number)),
		"relaxed":  func() error { o.Relaxed = true; return nil },
	})
	r.p.Offers = append(r.p.Offers, o)
	return err
}

// node: NAME FREE… [at DOMAIN…]
func (r *reader) node() (err error) {
	n := Node{ID: r.words[0].text, Domains: r.nowhere()}
	r.words = r.words[1:]
	if n.Free, err = r.vector(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{"at": into(&n.Domains, r.at)})
	r.p.Nodes = append(r.p.Nodes, n)
	return err
}

// group: NAME COUNT REQUEST… [priority N] [max N] [offers LIST] [nodes LIST]
// [unsupported FIELD]. Without the clauses it may go anywhere.
func (r *reader) group() (err error) {
	// What most groups have. Their sets are one and the same.
	g := Group{ID: r.words[0].text, Offers: r.others("offer", nil), Nodes: r.others("node", nil)}
	r.words = r.words[1:]
	if g.Count, err = r.number("a number of pods"); err != nil {
		return err
	}
	if g.Requests, err = r.vector(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{
		"priority": into(&g.Priority, about("a priority", r.small)),
		"max":      into(&g.MaxPerNode, about("a number of pods", r.number)),
		"offers":   into(&g.Offers, about("offer", r.list)),
		"nodes":    into(&g.Nodes, about("node", r.list)),
		"unsupported": func() error {
			w, err := r.next("the name of a field")
			g.Unsupported = w.text
			return err
		},
	})
	r.p.Groups = append(r.p.Groups, g)
	return err
}

// key takes a topology key and returns the kind of name its domains are.
func (r *reader) key() (int, string, error) {
	if len(r.words) > 0 && r.words[0].is("hostname") {
		r.words = r.words[1:]
		return Hostname, "node", nil
	}
	k, err := r.ref("key")
	if err != nil {
		return 0, "", err
	}
	return k, "domain of " + r.p.Keys[k], nil
}

// exclusion: NAME KEY of LIST from LIST
func (r *reader) exclusion() (err error) {
	x := Exclusion{ID: r.words[0].text}
	r.words = r.words[1:]
	if x.Key, _, err = r.key(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{
		"of":   into(&x.A, about("group", r.list)),
		"from": into(&x.B, about("group", r.list)),
	})
	r.p.Exclusions = append(r.p.Exclusions, x)
	return err
}

// spread: NAME KEY owners LIST counted LIST [skew N] [min N] [over DOMAIN COUNT …]
func (r *reader) spread() (err error) {
	// A skew of 1 is what nearly everybody asks for.
	s := Spread{ID: r.words[0].text, MaxSkew: 1}
	r.words = r.words[1:]
	var domain string
	if s.Key, domain, err = r.key(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{
		"owners":  into(&s.Owners, about("group", r.list)),
		"counted": into(&s.Counted, about("group", r.list)),
		"skew":    into(&s.MaxSkew, about("a number of pods", r.number)),
		"min":     into(&s.MinDomains, about("a number of domains", r.number)),
		"over": func() error {
			for len(r.words) > 0 && !r.words[0].keyword() {
				var d DomainCount
				var err error
				if d.Domain, err = r.ref(domain); err != nil {
					return err
				}
				if d.Count, err = r.number("a number of pods"); err != nil {
					return err
				}
				s.Domains = append(s.Domains, d)
			}
			return nil
		},
	})
	r.p.Spreads = append(r.p.Spreads, s)
	return err
}

// affinity: NAME KEY owners LIST targets LIST [present LIST]
func (r *reader) affinity() (err error) {
	a := Affinity{ID: r.words[0].text}
	r.words = r.words[1:]
	var domain string
	if a.Key, domain, err = r.key(); err != nil {
		return err
	}
	err = r.clauses(map[string]func() error{
		"owners":  into(&a.Owners, about("group", r.list)),
		"targets": into(&a.Targets, about("group", r.list)),
		"present": into(&a.Present, about(domain, r.list)),
	})
	r.p.Affinities = append(r.p.Affinities, a)
	return err
}

// stock: NAME COUNT offers LIST [units N…], one for each of these offers, by index
func (r *reader) stock() (err error) {
	s := Stock{ID: r.words[0].text}
	r.words = r.words[1:]
	if s.Count, err = r.number("a number of units"); err != nil {
		return err
	}
	last := r.last
	var units []int64
	err = r.clauses(map[string]func() error{"offers": into(&s.Offers, about("offer", r.list)), "units": into(&units, r.numbers)})
	if err == nil && units != nil {
		if len(units) != s.Offers.Len() {
			return last.errorf("%d units for %d offers", len(units), s.Offers.Len())
		}
		s.Units = make([]int64, len(r.names["offer"]))
		for i := range s.Offers.All {
			s.Units[i], units = units[0], units[1:]
		}
	}
	r.p.Stocks = append(r.p.Stocks, s)
	return err
}

// blend
func (r *reader) blend() error {
	r.p.Blend = true
	return nil
}

// steps: N
func (r *reader) steps() (err error) {
	r.p.MaxSteps, err = r.number("a number of steps")
	return err
}
