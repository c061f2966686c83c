// Command demo shows Stowage at work: it starts a cluster on loopback (package
// cluster), gives it 500 pods of several shapes, shows how they find their nodes,
// takes the pods away, shows how the nodes go, and says what it cost.
//
// Everything that it starts ends with it, also at Ctrl-C. With -keep it leaves
// the cluster running until Ctrl-C, and says how to look around.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/stowage-sh/stowage/test/cluster"
)

//go:embed manifests/*.yaml
var manifests embed.FS

func main() {
	keep := flag.Bool("keep", false, "leave the cluster running until Ctrl-C")
	executable := flag.String("stowage", filepath.Join("bin", "stowage"), "the executable to show")
	flag.Parse()
	// Closing the terminal ends the demo like Ctrl-C.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	played, ended := run(ctx, *executable, *keep)
	text, code := conclusion(context.Cause(ctx), played, ended)
	stop()
	fmt.Fprint(os.Stderr, text)
	os.Exit(code)
}

// conclusion returns the last words of the demo and its exit code; interrupted is
// by what, or nil. That nothing is left running is said only if everything ended
// well.
func conclusion(interrupted, played, ended error) (text string, code int) {
	if interrupted != nil && errors.Is(played, interrupted) {
		played, code = nil, 130
	}
	switch err := errors.Join(played, ended); {
	case err != nil && interrupted != nil:
		return fmt.Sprintf("\nstopped: %v\n", err), 1
	case err != nil:
		return fmt.Sprintf("demo: %v\n", err), 1
	case interrupted != nil: // what was kept with -keep ends so with code 0
		return "\nstopped; nothing is left running\n", code
	}
	return "", 0
}

// run plays the demo from start to end. What it started has ended when it
// returns, unless ended says otherwise: that is the error of stopping it, or of a
// start that did not get to the end. played is that of everything between.
func run(ctx context.Context, executable string, keep bool) (played, ended error) {
	fmt.Println("Stowage demo: a control plane and an EC2 on loopback, 500 pods.")
	c, err := cluster.Start(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return nil, err
	}
	defer func() { ended = errors.Join(ended, c.Stop()) }()
	controller, err := c.StartStowage(executable)
	if err != nil {
		return err, nil
	}
	defer func() { ended = errors.Join(ended, controller.Stop()) }()
	// The demo ends if what it shows does.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-controller.Done():
			cancel(fmt.Errorf("stowage ended; its log is %s", filepath.Join(c.Dir(), "stowage.log")))
			c.Keep()
		case <-c.Done():
			cancel(c.Err())
		case <-ctx.Done():
		}
	}()
	s := &show{cluster: c}
	if err := s.play(ctx, keep); err != nil {
		return first(context.Cause(ctx), err), nil
	}
	return nil, nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
