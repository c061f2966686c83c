// Command stowage provisions nodes for Kubernetes on EC2, and plans offline what
// it would buy. See the README for what each command does.
//
// This package is the one that owns what decisions must not: the clock, the
// environment, goroutines, signals and exit codes. Exit codes are 0 for done, 1
// for a command that ran and whose answer is a failure, 2 for bad usage or bad
// input.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes that scripts may rely on.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Args, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now}))
}

// streams are what a command reads from and writes to. A test gives its own,
// with a clock that stands still.
type streams struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
}

// run executes one command line, the name of the program first, and returns its
// exit code. An error is one line on standard error.
func run(args []string, s streams) int {
	root := newRootCommand(args[0], s)
	root.SetArgs(args[1:])
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(s.err, "%s: %s\n", cmd.CommandPath(), oneLine(text))
	}
	if known, ok := errors.AsType[*exitError](err); ok {
		return known.code
	}
	return exitFailure
}

func newRootCommand(program string, s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "stowage",
		Short: "Buys the nodes that pending pods need on EC2, at the least cost",
		Example: "  stowage plan -f examples/basic\n" +
			"  stowage version",
		Args:          refuseArguments,
		SilenceErrors: true, // run prints them, and says which command failed
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if strings.HasPrefix(filepath.Base(program), "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl stowage"}
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.AddCommand(newControllerCommand(), newPlanCommand(s.now), newVersionCommand())
	return root
}

// refuseArguments is for commands that take flags only.
func refuseArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError(fmt.Errorf("there is no command %q; see %s --help", args[0], cmd.CommandPath()))
	}
	return usageError(fmt.Errorf("unexpected argument %q; see %s --help", args[0], cmd.CommandPath()))
}

// An exitError ends the program with a code of its own. Without err nothing is
// printed: the command has said what there is to say.
type exitError struct {
	err  error
	code int
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError marks an error as bad usage or bad input.
func usageError(err error) error { return &exitError{err, exitUsage} }

// oneLine joins the lines of an error that came from elsewhere.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
