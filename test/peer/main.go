package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
)

func main() {
	only := flag.String("run", "", "compare only workloads that match this regular expression")
	out := flag.String("out", "", "write the page to this file too, anew after each workload")
	consolidation := flag.Bool("consolidation", false, "compare consolidation of standing clusters, in place of scheduling")
	limit := flag.Duration("limit", time.Minute, "stop either side after this time, as the peer does itself")
	flag.Parse()
	log.SetLogger(logging.NopLogger)
	run := func() error { return compareAll(*only, *out, *limit) }
	if *consolidation {
		run = func() error { return consolidateAll(*only, *out) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// compareAll compares what matches and prints each row as soon as it is known.
func compareAll(only, out string, limit time.Duration) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("reading -run: %w", err)
	}
	all, err := workloads()
	if err != nil {
		return err
	}
	page := newPage()
	for i := range all {
		w := &all[i]
		if !match.MatchString(w.name) {
			continue
		}
		c, err := compare(w, limit)
		if err != nil {
			return fmt.Errorf("comparing on %s: %w", w.name, err)
		}
		page.add(w.section, c)
		for _, line := range c.lines() {
			fmt.Println(line)
		}
		for _, u := range c.complaints() {
			fmt.Fprintln(os.Stderr, "  ", u)
		}
		if err := save(out, page.write); err != nil {
			return err
		}
	}
	return nil
}

// consolidateAll lets both sides consolidate what matches and prints the rows of each
// cluster as soon as they are known.
func consolidateAll(only, out string) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("reading -run: %w", err)
	}
	all, err := standings()
	if err != nil {
		return err
	}
	page := &contestPage{commit: commit()}
	for i := range all {
		if !match.MatchString(all[i].name) {
			continue
		}
		c, err := consolidateBoth(&all[i])
		if err != nil {
			return fmt.Errorf("consolidating %s: %w", all[i].name, err)
		}
		page.contests = append(page.contests, c)
		for _, line := range c.lines() {
			fmt.Println(line)
		}
		if err := save(out, page.write); err != nil {
			return err
		}
	}
	return nil
}

// A comparison is one row of the table.
type comparison struct {
	name               string
	pods               int
	peer, first, whole *measure
	// same is our plan for the pods that the peer had placed when it was stopped.
	same *measure
}

// compare runs both sides on a workload.
func compare(w *workload, limit time.Duration) (*comparison, error) {
	p, err := newPeer(w.market, limit, w.ignorePreferences)
	if err != nil {
		return nil, err
	}
	pods := w.pods()
	ours := func(pods []*corev1.Pod, maxSteps int64) (*measure, error) {
		return run(func() func() (*plan, error) { return stowage(w.market, pods, w.ignorePreferences, maxSteps, limit) })
	}
	c := &comparison{name: w.name, pods: len(pods)}
	if c.first, err = ours(pods, 1); err != nil {
		return nil, err
	}
	if c.whole, err = ours(pods, 0); err != nil {
		return nil, err
	}
	if c.peer, err = run(func() func() (*plan, error) { return p.prepare(pods) }); err != nil {
		return nil, err
	}
	if c.peer.stopped {
		var done []*corev1.Pod
		for _, pod := range pods {
			if c.peer.placed[string(pod.UID)] {
				done = append(done, pod)
			}
		}
		c.same, err = ours(done, 0)
	}
	return c, err
}

// complaints says which pods either side left without a place, a few of each.
func (c *comparison) complaints() []string {
	var all []string
	for _, side := range []struct {
		name string
		*measure
	}{{"peer", c.peer}, {"ours", c.whole}} {
		for _, u := range side.unplaced[:min(3, len(side.unplaced))] {
			all = append(all, side.name+": "+u)
		}
	}
	return all
}
