package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// startPatience is how long the programs may take to be ready: forty times what
// they take on an idle machine.
const startPatience = 2 * time.Minute

// Options are the choices of a caller of [Start]. The zero value is good.
type Options struct {
	// Parent is where the folder of the control plane is made; empty means the
	// folder for temporary files.
	Parent string
	// Progress gets a line for each thing that takes time; nil for none.
	Progress io.Writer

	kwokConfig []byte // instead of kwok.yaml; for this package's tests
}

// A ControlPlane is one that runs, until Stop. Its methods may be called by
// several goroutines at once, but Stop only after all others have returned.
type ControlPlane struct {
	dir    string
	binary string
	begin  time.Time

	ports      *ports
	pki        *pki
	lifeline   lifeline
	kwokConfig []byte
	owner      *os.File // the lock that says that dir is in use

	admin           *rest.Config
	adminKubeconfig string
	client          *http.Client // the administrator's

	running []*process // in the order of their start

	died sync.Once     // guards err and the closing of done
	done chan struct{} // closed when a program ended by itself, or by Stop
	err  error
	kept bool
}

// Start builds what is missing and starts a control plane, which takes about
// three seconds on an idle machine with two cores. When it returns, the API
// server answers, the default namespace has its ServiceAccount, so pods can be
// created, and kube-scheduler and kwok watch. ctx bounds the start, not the life:
// the caller must call Stop.
//
// If the start fails, everything is stopped, the folder with the logs stays,
// and the error names it. If the caller cancels ctx, nothing stays.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	binary, err := Build(ctx, options.Progress)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{binary: binary, begin: time.Now(), done: make(chan struct{}), kwokConfig: options.kwokConfig}
	if cp.kwokConfig == nil {
		cp.kwokConfig = kwokConfig
	}
	limited, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("not ready after %s", startPatience))
	defer cancel()
	if err := cp.start(limited, options); err != nil {
		err = fmt.Errorf("starting a control plane: %w", err)
		if cp.dir != "" && !errors.Is(ctx.Err(), context.Canceled) {
			cp.Keep()
			err = fmt.Errorf("%w\nits files are in %s", err, cp.dir)
		}
		return nil, errors.Join(err, cp.stop())
	}
	fmt.Fprintf(options.Progress, "control plane: up in %.1f s, %s\n", time.Since(cp.begin).Seconds(), cp.admin.Host)
	return cp, nil
}

// start does everything that Stop undoes, which also works half done.
func (cp *ControlPlane) start(ctx context.Context, options Options) (err error) {
	if cp.dir, cp.owner, err = newFolder(options.Parent); err != nil {
		return err
	}
	if cp.lifeline, err = newLifeline(); err != nil {
		return err
	}
	if cp.ports, err = reservePorts(); err != nil {
		return err
	}
	if cp.pki, err = newPKI(filepath.Join(cp.dir, "pki")); err != nil {
		return fmt.Errorf("making keys and certificates: %w", err)
	}
	if cp.admin, err = cp.ConfigFor("admin", "system:masters"); err != nil {
		return err
	}
	if cp.adminKubeconfig, err = cp.WriteKubeconfig("admin", cp.admin); err != nil {
		return err
	}
	if cp.client, err = rest.HTTPClientFor(cp.admin); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	// For whoever explores with the folder's bin on the PATH.
	if err := os.Mkdir(filepath.Join(cp.dir, "bin"), 0o700); err != nil {
		return err
	}
	if err := os.Symlink(cp.binary, filepath.Join(cp.dir, "bin", "kubectl")); err != nil {
		return err
	}
	return cp.startPrograms(ctx)
}

// startPrograms starts etcd and the API server at once, which waits for etcd,
// and the API server's clients when it is ready.
func (cp *ControlPlane) startPrograms(ctx context.Context) error {
	if err := cp.run("etcd", cp.etcdArgs()); err != nil {
		return err
	}
	if err := cp.run("kube-apiserver", cp.apiserverArgs()); err != nil {
		return err
	}
	if err := cp.awaitOK(ctx, cp.admin.Host+"/readyz"); err != nil {
		return err
	}
	// The bootstrap roles of RBAC know Kubernetes' own programs by user name. For
	// kwok there is none.
	for _, client := range []struct {
		program, user string
		groups        []string
		args          func(kubeconfig string) ([]string, error)
	}{
		{"kube-controller-manager", "system:kube-controller-manager", nil, cp.controllerManagerArgs},
		{"kube-scheduler", "system:kube-scheduler", nil, cp.schedulerArgs},
		{"kwok", "kwok", []string{"system:masters"}, cp.kwokArgs},
	} {
		config, err := cp.ConfigFor(client.user, client.groups...)
		if err != nil {
			return err
		}
		kubeconfig, err := cp.WriteKubeconfig(client.program, config)
		if err != nil {
			return err
		}
		args, err := client.args(kubeconfig)
		if err != nil {
			return err
		}
		if err := cp.run(client.program, args); err != nil {
			return err
		}
	}
	return cp.awaitOK(ctx,
		"https://"+address(cp.ports.controllerManager)+"/healthz",
		"https://"+address(cp.ports.scheduler)+"/readyz",
		"http://"+address(cp.ports.kwok)+"/healthz",
		cp.admin.Host+"/api/v1/namespaces/default/serviceaccounts/default",
	)
}

func (cp *ControlPlane) run(program string, args []string) error {
	p, err := cp.launch(program, args)
	if err != nil {
		return err
	}
	cp.running = append(cp.running, p)
	return nil
}

// Dir returns the folder of this control plane. It holds the logs, named after
// the programs, and bin/kubectl.
func (cp *ControlPlane) Dir() string { return cp.dir }

// Done is closed when a program ended by itself, and by Stop. Then [ControlPlane.Err]
// tells which.
func (cp *ControlPlane) Done() <-chan struct{} { return cp.done }

// Err returns why Done is closed: nil until then, and nil after a Stop that came
// first; else which program ended, and the end of its log.
func (cp *ControlPlane) Err() error {
	select {
	case <-cp.done:
		return cp.err
	default:
		return nil
	}
}

// Keep makes Stop leave the folder with the logs where it is.
func (cp *ControlPlane) Keep() { cp.kept = true }

// Kubectl runs kubectl as the administrator and returns what it printed to its
// standard output. The error holds what it printed to the other one.
func (cp *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return cp.KubectlInput(ctx, nil, args...)
}

// KubectlInput is Kubectl with a standard input, for apply -f -.
func (cp *ControlPlane) KubectlInput(ctx context.Context, input io.Reader, args ...string) (string, error) {
	cmd := cp.command(exec.CommandContext(ctx, cp.binary), "kubectl", append([]string{"--kubeconfig", cp.adminKubeconfig}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	// Relative paths of manifests are the caller's.
	cmd.Dir = ""
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Stop ends every program: the API server's clients, then the API server, then
// etcd, without which the API server would hang; and gives back ports and
// folder. It returns the error of a program that had ended by itself, and then
// the folder stays. A second call does nothing.
func (cp *ControlPlane) Stop() error {
	return errors.Join(cp.stop(), cp.err)
}

// stop is Stop without the error of a program that ended by itself.
func (cp *ControlPlane) stop() error {
	cp.died.Do(func() { close(cp.done) })
	var errs []error
	if cp.client != nil {
		cp.client.CloseIdleConnections()
	}
	first := min(2, len(cp.running)) // etcd and the API server
	var wait sync.WaitGroup
	results := make([]error, len(cp.running))
	for i := first; i < len(cp.running); i++ {
		wait.Go(func() { results[i] = cp.running[i].stop() })
	}
	wait.Wait()
	for i := first - 1; i >= 0; i-- {
		results[i] = cp.running[i].stop()
	}
	errs = append(errs, results...)
	cp.running = nil
	if cp.lifeline.child != nil {
		errs = append(errs, cp.lifeline.close())
		cp.lifeline = lifeline{}
	}
	if cp.ports != nil {
		errs = append(errs, cp.ports.release())
		cp.ports = nil
	}
	if cp.owner != nil {
		errs = append(errs, cp.leaveFolder())
		cp.owner = nil
	}
	return errors.Join(errs...)
}

// leaveFolder removes the folder, or makes it one that no later Start removes.
func (cp *ControlPlane) leaveFolder() error {
	var errs []error
	if cp.kept || cp.err != nil {
		errs = append(errs, os.Remove(filepath.Join(cp.dir, ownerFile)))
	} else {
		errs = append(errs, os.RemoveAll(cp.dir))
	}
	return errors.Join(append(errs, cp.owner.Close())...)
}
