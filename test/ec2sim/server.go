package ec2sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Server is a running simulation. Its methods may be called by any goroutine.
type Server struct {
	opts   Options
	url    string
	begun  time.Time
	http   *http.Server
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// types and typeIndex never change.
	types     []InstanceType
	typeIndex map[string]int

	mu        sync.Mutex // guards all below
	rng       *rand.Rand // of what calls make, in their order
	odds      *rand.Rand // of which calls are throttled
	serial    int        // of requests and events
	world     *World
	addresses map[string]map[string]bool // by subnet: the addresses in use
	cursor    map[string]uint32          // by subnet: where the search goes on
	templates map[string]*template       // by name
	fleets    map[string]fleet           // by client token
	instances []*instance                // in the order of their launch
	prices    map[string]int64           // set by SetPrice; key is an offering
	history   map[string][]priceChange   // of prices, in order of time
	profiles  map[string]*profile
	queue     *queue
	faults    faults
	journal   journal
}

// Start serves on a free port of the loopback interface until Close.
func Start(o Options) (*Server, error) {
	o, err := o.resolve()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the EC2 simulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		opts: o, url: "http://" + ln.Addr().String(), begun: now(), ctx: ctx, cancel: cancel,
		types: slices.Clone(o.Types), typeIndex: map[string]int{},
		// Two sources: otherwise whether calls are throttled would change every ID.
		rng: rand.New(rand.NewPCG(o.Seed, 0)), odds: rand.New(rand.NewPCG(o.Seed, 1)), world: o.World.clone(),
		addresses: map[string]map[string]bool{}, cursor: map[string]uint32{},
		templates: map[string]*template{}, fleets: map[string]fleet{}, prices: map[string]int64{}, history: map[string][]priceChange{},
		profiles: map[string]*profile{}, queue: newQueue(o.Queue), faults: newFaults(), journal: journal{calls: map[string]int{}},
	}
	slices.SortFunc(s.types, func(a, b InstanceType) int { return strings.Compare(a.Name, b.Name) })
	for i, t := range s.types {
		s.typeIndex[t.Name] = i
	}
	for name, role := range o.World.Profiles {
		s.profiles[name] = &profile{Name: name, Path: "/", Roles: []string{role}, ID: s.id("AIPA", 16), Tags: map[string]string{}, Created: now()}
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.wg.Go(func() { _ = s.http.Serve(ln) })
	if o.Client != nil && len(o.StartupTaints) > 0 {
		s.wg.Go(s.removeStartupTaints)
	}
	return s, nil
}

// URL is the value of AWS_ENDPOINT_URL.
func (s *Server) URL() string { return s.url }

// Env is the environment of a process that shall take the server for AWS.
func (s *Server) Env() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.url,
		"AWS_REGION=" + s.opts.Region,
		"AWS_ACCESS_KEY_ID=AKIDSIMULATED0000000",
		"AWS_SECRET_ACCESS_KEY=simulated",
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
}

// Close stops serving and ends every instance's life where it stands. Nodes that
// joined stay.
func (s *Server) Close() {
	s.mu.Lock() // whoever holds the lock and finds ctx alive may begin a life
	s.cancel()
	s.mu.Unlock()
	_ = s.http.Close()
	s.wg.Wait()
}

// now is the time of the simulation, which is that of the world.
func now() time.Time { return time.Now() }

// id makes an identifier: a prefix and n hexadecimal digits. The caller holds the
// lock, or is Start.
func (s *Server) id(prefix string, n int) string {
	const digits = "0123456789abcdef"
	b := []byte(prefix)
	for range n {
		b = append(b, digits[s.rng.IntN(len(digits))])
	}
	return string(b)
}
