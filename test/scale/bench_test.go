package scale_test

import (
	"context"
	"flag"
	"maps"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/sim"
)

var settle = flag.Duration("settle", 3*time.Minute, "virtual time before anything is measured: a process that begins writes down what it finds")

// BenchmarkSteady is a second of virtual time in a large cluster. It reports what the product
// does in a minute of such: CPU seconds of the thread that it all runs in, by controller; bytes
// allocated; writes to the API. `-v` lists the writes by verb and kind.
func BenchmarkSteady(b *testing.B) {
	l, err := populate(large)
	if err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread() // its time is counted
	defer runtime.UnlockOSThread()
	m := &meter{thread: unix.Gettid(), spent: map[string]spending{}, calls: map[string]int{}, writes: map[string]int{}}
	p := l.Start()
	p.Around, p.Gathers = m.around, true
	p.After = func(verb string, obj client.Object) error {
		m.writes[verb+" "+sim.KindOf(obj)]++
		return nil
	}
	c := p.AddControllers()
	cloud := metered{l.Cloud, m}
	c.Provision.Cloud, c.Lifecycle.Cloud, c.Collector.Cloud = cloud, cloud, cloud
	l.begin()
	pass := func(d time.Duration) {
		if err := l.Run(d); err != nil {
			b.Fatal(err)
		}
	}
	pass(*settle)
	m.reset()
	seconds := 0
	for b.Loop() {
		pass(time.Second)
		seconds++
	}
	if len(p.Errors) > 0 {
		b.Errorf("%d calls of controllers failed, the first: %v", len(p.Errors), p.Errors[0])
	}
	m.report(b, float64(seconds)/60)
}

// A meter adds up what is spent on each piece of the product: on itself, without what it calls
// that is another piece.
type meter struct {
	thread int // a few writes are made beside it, while it waits
	spent  map[string]spending
	calls  map[string]int
	writes map[string]int // by verb and kind
	within []string       // the pieces at work, the innermost last
	last   spending       // of the thread, when the innermost began or went on
}

// A spending is CPU time and bytes allocated.
type spending struct {
	time  time.Duration
	bytes uint64
}

// now is what this thread has spent so far, and the process has allocated.
func now() spending {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent); err != nil {
		panic(err)
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return spending{time.Duration(spent.Nano()), sample[0].Value.Uint64()}
}

func (m *meter) around(what string, run func()) {
	if unix.Gettid() != m.thread {
		run()
		return
	}
	m.lap()
	m.calls[what]++
	m.within = append(m.within, what)
	run()
	m.lap()
	m.within = m.within[:len(m.within)-1]
}

// lap notes what the innermost piece has spent since the last lap.
func (m *meter) lap() {
	at := now()
	if n := len(m.within); n > 0 {
		s := m.spent[m.within[n-1]]
		m.spent[m.within[n-1]] = spending{s.time + at.time - m.last.time, s.bytes + at.bytes - m.last.bytes}
	}
	m.last = now() // what the meter itself took is nobody's
}

func (m *meter) reset() {
	clear(m.spent)
	clear(m.calls)
	clear(m.writes)
}

// report gives the figures of a minute; minutes is how many there were.
func (m *meter) report(b *testing.B, minutes float64) {
	var all spending
	for _, what := range slices.Sorted(maps.Keys(m.spent)) {
		s := m.spent[what]
		if what == "api" || what == "cloud" {
			continue // not the product's
		}
		all = spending{all.time + s.time, all.bytes + s.bytes}
		b.Logf("%-12s %8.3f CPU s/min %9.1f MB/min %8.0f calls/min", what, s.time.Seconds()/minutes, float64(s.bytes)/1e6/minutes, float64(m.calls[what])/minutes)
		b.ReportMetric(s.time.Seconds()/minutes, strings.ToLower(what)+"-cpu-s/min")
	}
	b.ReportMetric(all.time.Seconds()/minutes, "cpu-s/min")
	b.ReportMetric(float64(all.bytes)/1e6/minutes, "MB/min")
	b.ReportMetric(float64(m.calls["watch"])/minutes/60, "events/s")
	writes := 0
	for _, what := range slices.Sorted(maps.Keys(m.writes)) {
		writes += m.writes[what]
		b.Logf("%-24s %7.1f /min", what, float64(m.writes[what])/minutes)
	}
	b.ReportMetric(float64(writes)/minutes, "writes/min")
}

// metered is a cloud whose own work is told apart from the product's.
type metered struct {
	cloudprovider.Provider
	m *meter
}

func (c metered) Catalog(ctx context.Context, class cloudprovider.NodeClassRef) (catalog *cloudprovider.Catalog, err error) {
	c.m.around("cloud", func() { catalog, err = c.Provider.Catalog(ctx, class) })
	return catalog, err
}

func (c metered) Launch(ctx context.Context, r cloudprovider.LaunchRequest) (i cloudprovider.Instance, err error) {
	c.m.around("cloud", func() { i, err = c.Provider.Launch(ctx, r) })
	return i, err
}

func (c metered) Terminate(ctx context.Context, id string) (err error) {
	c.m.around("cloud", func() { err = c.Provider.Terminate(ctx, id) })
	return err
}

func (c metered) List(ctx context.Context) (all []cloudprovider.Instance, err error) {
	c.m.around("cloud", func() { all, err = c.Provider.List(ctx) })
	return all, err
}
