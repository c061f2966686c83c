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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *executable, *keep)
	switch {
	case ctx.Err() != nil && !*keep:
		fmt.Println("\nstopped; nothing is left running")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run plays the demo from start to end. What it started has ended when it
// returns.
func run(ctx context.Context, executable string, keep bool) (err error) {
	fmt.Println("Stowage demo: a control plane and an EC2 on loopback, 500 pods.")
	c, err := cluster.Start(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = first(err, c.Stop()) }()
	controller, err := c.StartStowage(executable)
	if err != nil {
		return err
	}
	defer func() { err = first(err, controller.Stop()) }()
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
		return first(context.Cause(ctx), err)
	}
	return nil
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
