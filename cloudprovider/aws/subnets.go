package aws

import "sync"

// A ledger counts the addresses that launches have taken out of subnets since
// EC2 last said how many are free, so that many launches at once do not all
// choose one subnet. The zero value is empty; the lock covers map operations only.
type ledger struct {
	mu   sync.Mutex
	rows map[string]ledgerRow
}

type ledgerRow struct {
	// said is Subnet.FreeAddresses when the row was begun: another number is news
	// of EC2's, and ends it.
	said, taken int64
}

// free returns how many addresses s has by what is known.
func (l *ledger) free(s Subnet) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.FreeAddresses - l.row(s).taken
}

// take notes that a launch will use n addresses of s.
func (l *ledger) take(s Subnet, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.row(s)
	r.taken += n
	l.set(s, r)
}

// exhaust notes that EC2 found no address in s.
func (l *ledger) exhaust(s Subnet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.row(s)
	r.taken = max(r.taken, s.FreeAddresses)
	l.set(s, r)
}

func (l *ledger) row(s Subnet) ledgerRow {
	if r, ok := l.rows[s.ID]; ok && r.said == s.FreeAddresses {
		return r
	}
	return ledgerRow{said: s.FreeAddresses}
}

func (l *ledger) set(s Subnet, r ledgerRow) {
	if l.rows == nil {
		l.rows = map[string]ledgerRow{}
	}
	l.rows[s.ID] = r
}

// subnetOf returns, for every zone of c, the subnet with most free addresses; of
// equal ones the first by ID.
func (l *ledger) subnetOf(c *Class) map[string]Subnet {
	best := map[string]Subnet{}
	free := map[string]int64{}
	for _, s := range c.Subnets {
		if _, ok := best[s.Zone]; !ok || l.free(s) > free[s.Zone] {
			best[s.Zone], free[s.Zone] = s, l.free(s)
		}
	}
	return best
}
