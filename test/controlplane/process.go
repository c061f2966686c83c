package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// stopPatience is how long a program may take to stop before it is killed. All
// that it could still save is thrown away with the folder.
const stopPatience = 10 * time.Second

// A process is one running program of a control plane.
type process struct {
	program string
	logPath string
	cmd     *exec.Cmd
	stopped atomic.Bool   // it was asked to end
	done    chan struct{} // closed once it has ended and err is set
	err     error
}

// command prepares a program of the control plane's executable. It gets a
// process group of its own, so that Ctrl-C in a terminal reaches the caller
// alone, who then stops everything in order; and the read end of the
// lifeline, so that it ends with the caller.
func (cp *ControlPlane) command(cmd *exec.Cmd, program string, args ...string) *exec.Cmd {
	cmd.Args = append([]string{program}, args...)
	cmd.Dir = cp.dir
	cmd.ExtraFiles = []*os.File{cp.lifeline.child}
	cmd.Env = []string{
		"STOWAGE_LIFELINE=3", // the first of ExtraFiles
		"HOME=" + cp.dir,
		"TMPDIR=" + cp.dir,
		"GOGC=400", // the CPU is what tests wait for, and memory is there
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// launch starts a program and follows it until it ends.
func (cp *ControlPlane) launch(program string, args []string) (*process, error) {
	p := &process{
		program: program,
		logPath: filepath.Join(cp.dir, program+".log"),
		done:    make(chan struct{}),
	}
	// The program gets the file itself, not a pipe: its last words are in it even
	// if this process is gone by then.
	log, err := os.Create(p.logPath)
	if err != nil {
		return nil, fmt.Errorf("creating the log of %s: %w", program, err)
	}
	p.cmd = cp.command(exec.Command(cp.binary), program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	err = p.cmd.Start()
	if err := errors.Join(err, log.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		err := p.cmd.Wait()
		// Even a program that ends without complaint was not asked to.
		if !p.stopped.Load() {
			if err == nil {
				err = errors.New("exit status 0")
			}
			p.err = fmt.Errorf("%s ended by itself: %w\n%s", program, err, p.logTail())
			cp.died.Do(func() { cp.err = p.err; close(cp.done) })
		}
		close(p.done)
	}()
	return p, nil
}

// stop ends the process and returns once it is gone. It may be called again.
func (p *process) stop() error {
	p.stopped.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.program, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.program, err)
	}
	<-p.done
	return nil
}

// logTail returns the end of the log, under its path.
func (p *process) logTail() string {
	const size = 2000
	content, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	if len(content) > size {
		content = content[len(content)-size:]
		if i := bytes.IndexByte(content, '\n'); i >= 0 {
			content = content[i+1:]
		}
	}
	return fmt.Sprintf("the end of %s:\n%s", p.logPath, content)
}

// A lifeline is a pipe that nobody writes to. The programs hold the end that
// reads; when the last holder of the other end goes, they read its end and exit.
type lifeline struct {
	child  *os.File // inherited by every program
	parent *os.File // this process's alone: files are closed on exec unless passed on
}

func newLifeline() (lifeline, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return lifeline{}, fmt.Errorf("opening the lifeline: %w", err)
	}
	return lifeline{child: r, parent: w}, nil
}

func (l lifeline) close() error { return errors.Join(l.child.Close(), l.parent.Close()) }
