package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// patience is how long Stowage may take to end when asked to.
const patience = 20 * time.Second

// BuildStowage compiles the command from the working tree into a folder and
// returns its path. It is to be called from within the module.
func BuildStowage(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "stowage")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/stowage-sh/stowage/cmd/stowage")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building stowage: %w\n%s", err, out)
	}
	return path, nil
}

// A Stowage is one run of the controller.
type Stowage struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
	err  error         // why, after done

	metrics, health string // addresses
}

// StartStowage starts the controller from the given executable, with further
// flags. Its log is stowage.log in the cluster's folder. It does not get the
// interrupts of a terminal: the caller stops it. If the caller is killed, the API
// server goes, the Lease is lost, and Stowage ends by itself. One runs at a time:
// they all have the same ports.
func (c *Cluster) StartStowage(executable string, flags ...string) (*Stowage, error) {
	const loopback = "127.0.0.1"
	ports := c.SparePorts()
	metrics, health := strconv.Itoa(ports[0]), strconv.Itoa(ports[1])
	log, err := c.logFile("stowage.log")
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"controller", "--kubeconfig", c.kubeconfig, "--cluster-name", Name,
		"--leader-election-namespace", Namespace,
		"--bind-address", loopback, "--metrics-port", metrics, "--health-probe-port", health,
	}, flags...)
	cmd := exec.Command(executable, args...)
	cmd.Env = append([]string{"HOME=" + c.Dir(), "PATH=" + os.Getenv("PATH")}, c.EC2.Env()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting stowage: %w", err), log.Close())
	}
	s := &Stowage{
		cmd: cmd, log: log, done: make(chan struct{}),
		metrics: net.JoinHostPort(loopback, metrics), health: net.JoinHostPort(loopback, health),
	}
	go func() {
		s.err = errors.Join(cmd.Wait(), log.Close())
		close(s.done)
	}()
	return s, nil
}

// MetricsURL is where the controller serves its metrics.
func (s *Stowage) MetricsURL() string { return "http://" + s.metrics + "/metrics" }

// HealthURL is where the controller serves a probe: healthz or readyz.
func (s *Stowage) HealthURL(probe string) string { return "http://" + s.health + "/" + probe }

// Done is closed when the controller has ended.
func (s *Stowage) Done() <-chan struct{} { return s.done }

// Stop asks the controller to end, and makes it if it does not. The error says
// how it ended where that was not well.
func (s *Stowage) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-s.done:
		return s.err
	case <-time.After(patience):
		s.Kill()
		return fmt.Errorf("stowage did not end within %s of SIGTERM", patience)
	}
}

// Kill ends the controller at once, as a crash would.
func (s *Stowage) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}
