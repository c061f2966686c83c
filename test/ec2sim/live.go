package ec2sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// rest waits for a delay, and says whether neither stop nor the server
// ended it.
func (s *Server) rest(stop <-chan struct{}, d time.Duration) bool {
	select { // of two that are ready, stop counts
	case <-stop:
		return false
	case <-s.ctx.Done():
		return false
	default:
	}
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
	case <-s.ctx.Done():
	}
	return false
}

// jittered are the delays of one instance's life. They follow from the seed and
// from how many instances were launched before it.
func (d Delays) jittered(seed, n uint64) Delays {
	// A source of its own for each instance: shared, the delays of one would depend on
	// which goroutine drew first. Streams 0 and 1 are the server's.
	r := rand.New(rand.NewPCG(seed, 2+n))
	for _, x := range []*time.Duration{&d.Pending, &d.Boot, &d.CloudIn, &d.Ready, &d.Warning, &d.Shutdown, &d.NodeLost, &d.NodeDelete, &d.Forget} {
		*x = time.Duration(float64(*x) * (1 + d.Jitter*(2*r.Float64()-1)))
	}
	return d
}

// live is an instance's life, from top to bottom.
func (s *Server) live(i *instance) {
	d := i.delays
	if s.rest(i.stop, d.Pending) && s.become(i, Pending, Running) && s.rest(i.stop, d.Boot) {
		s.boot(i)
	}
	// Whether it booted or not, it runs, and costs, until somebody ends it.
	select {
	case <-i.stop:
	case <-s.ctx.Done():
		return
	}
	// From here on nothing can stop it but the end of the server.
	lost := min(d.NodeLost, d.Shutdown)
	if !s.rest(nil, lost) {
		return
	}
	// The machine is down before EC2 says terminated, and its kubelet with it: for some
	// seconds there is a Node that nobody stands behind.
	s.loseNode(i)
	if !s.rest(nil, d.Shutdown-lost) || !s.become(i, ShuttingDown, Terminated) {
		return
	}
	// In life this is the cloud controller's, and some clusters run none.
	if d.NodeDelete >= 0 {
		if !s.rest(nil, d.NodeDelete) {
			return
		}
		s.deleteNode(i)
	}
	if s.rest(nil, d.Forget) {
		s.mu.Lock()
		i.gone = true
		s.mu.Unlock()
	}
}

// become moves an instance from one state to the next, unless another hand moved
// it first.
func (s *Server) become(i *instance, from, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.state != from {
		return false
	}
	i.state = to
	if to == Terminated {
		// Nothing is billed from here on, and the address is free again.
		i.ended = now()
		delete(s.addresses[i.subnet.ID], i.ip)
	}
	s.announce(i)
	return true
}

// boot is what the image does at its first start. What it says goes to the
// console.
func (s *Server) boot(i *instance) {
	s.say(i, "%s booting %s (%s)", i.id, i.image.Name, i.kind.Name)
	k, err := bootstrap(i.image.Bootstrap, i.spec.userData, s.opts.Cluster)
	if err == nil {
		err = k.check()
	}
	if err != nil {
		s.say(i, "bootstrap failed: %v", err)
		return
	}
	for _, w := range k.warnings {
		s.say(i, "warning: %s", w)
	}
	if s.opts.Client == nil {
		s.say(i, "bootstrap done; there is no cluster to join")
		return
	}
	if err := s.join(i, k); err != nil {
		s.say(i, "joining the cluster: %v", err)
	}
}

// say writes a line to an instance's console.
func (s *Server) say(i *instance, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.mu.Lock()
	i.console = append(i.console, line)
	s.mu.Unlock()
	s.opts.Logf("%s console: %s", i.id, line)
}

// providerID is the instance's name in Node.spec.providerID.
func (i *instance) providerID() string {
	return fmt.Sprintf("aws:///%s/%s", i.offering.Zone, i.id)
}

// sees says whether the image has the drivers for the type's accelerators.
func (i *instance) sees() (name string, count int) {
	switch {
	case i.image.Variant == "nvidia" && i.kind.GPU.Manufacturer == "NVIDIA":
		return "nvidia.com/gpu", i.kind.GPU.Count
	case i.image.Variant == "neuron" && i.kind.Accelerator.Count > 0:
		return "aws.amazon.com/neuron", i.kind.Accelerator.Count
	}
	return "", 0
}
