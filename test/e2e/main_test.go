package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/test/cluster"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// A world is what all tests share.
type world struct {
	*cluster.Cluster
	executable string
	// profiles are how many instance profiles there were before any test.
	profiles int
	// running is the controller, nil while there is none. One that ends without
	// being asked to ends every wait.
	running atomic.Pointer[cluster.Stowage]
}

// queue is the name of the queue that gets warnings of interruptions.
const queue = "stowage-test"

// here is set before the first test, and not after.
var here *world

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run sets the world up, runs the tests in it, and takes it down.
func run(m *testing.M) (code int, err error) {
	// The scenes wait; they do not compute: there may be more of them at once than
	// there are cores.
	if err := flag.Set("test.parallel", "32"); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "stowage-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx := context.Background()
	executable, err := cluster.BuildStowage(ctx, dir)
	if err != nil {
		return 1, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Progress: os.Stderr, EC2: ec2sim.Options{Queue: queue, Delays: &ec2sim.Delays{
		Pending: 100 * time.Millisecond, Boot: 500 * time.Millisecond, CloudIn: 100 * time.Millisecond, Ready: 400 * time.Millisecond,
		Warning: 30 * time.Second, Shutdown: 500 * time.Millisecond, NodeLost: 100 * time.Millisecond, NodeDelete: 500 * time.Millisecond,
		Forget: time.Hour, Jitter: 0.2,
	}}})
	if err != nil {
		return 1, err
	}
	here = &world{Cluster: c, executable: executable, profiles: len(c.EC2.InstanceProfiles())}
	code = m.Run()
	if code != 0 {
		c.Keep()
		fmt.Fprintln(os.Stderr, "e2e: the logs of the cluster are in", c.Dir())
	}
	return code, c.Stop()
}

// registrationTimeout is what every controller here runs with. It is many times
// what a node takes to join, also on a machine that is busy.
const registrationTimeout = 30 * time.Second

// start starts the controller for the rest of the test. When all scenes of the test
// have ended, nothing may be left in EC2, and the controller, or the one that took
// its place after a kill, must stop well.
func start(t *testing.T, flags ...string) *cluster.Stowage {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			nothingLeft(t)
		}
		if s := here.running.Swap(nil); s != nil {
			if err := s.Stop(); err != nil {
				t.Errorf("stopping stowage: %v\n%s", err, logTail())
			}
		}
	})
	return restart(t, flags...)
}

// restart starts the controller in place of one that was killed.
func restart(t *testing.T, flags ...string) *cluster.Stowage {
	t.Helper()
	s, err := here.StartStowage(here.executable, append([]string{
		"--batch-idle-duration", "300ms", "--batch-max-duration", "3s", "--registration-timeout", registrationTimeout.String(),
	}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	here.running.Store(s)
	return s
}

// kill ends a controller as a crash would.
func kill(s *cluster.Stowage) {
	here.running.CompareAndSwap(s, nil)
	s.Kill()
}

// patience is how long a wait may take before the test fails: many times what it
// takes on an idle machine.
const patience = 3 * time.Minute

// eventually waits until f returns no error. The last error says what was wrong.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	within(t, patience, what, f)
}

// within is eventually for what takes longer, or less long.
func within(t *testing.T, patience time.Duration, what string, f func() error) {
	t.Helper()
	begin, deadline := time.Now(), time.After(patience)
	for {
		err := f()
		if err == nil {
			t.Logf("%5.1f s until %s", time.Since(begin).Seconds(), what)
			return
		}
		// nil blocks for ever
		var ended <-chan struct{}
		if s := here.running.Load(); s != nil {
			ended = s.Done()
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waiting until %s: after %s still: %v", what, patience, err)
		case <-ended:
			t.Fatalf("waiting until %s: stowage has ended\n%s", what, logTail())
		case <-here.Done():
			t.Fatalf("waiting until %s: the control plane has ended: %v", what, here.Err())
		}
	}
}

// logged is the whole log of every controller so far, empty before the first.
func logged() string {
	data, _ := os.ReadFile(filepath.Join(here.Dir(), "stowage.log"))
	return string(data)
}

// logTail is the end of it.
func logTail() string {
	lines := strings.Split(strings.TrimSpace(logged()), "\n")
	return "stowage.log ends:\n" + strings.Join(lines[max(0, len(lines)-50):], "\n")
}

// expectLog waits until the log, from a place in it on, holds a text.
func expectLog(t *testing.T, from int, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log says %q", text), func() error {
		if !strings.Contains(logged()[from:], text) {
			return errors.New("it does not")
		}
		return nil
	})
}
