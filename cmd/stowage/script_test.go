package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of the scripts anew")

// TestMain lets scripts run the command as it is, but for a clock that stands
// still: a plan then has nothing that differs from run to run.
func TestMain(m *testing.M) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	stowage := func() {
		os.Exit(run(os.Args, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: func() time.Time { return noon }}))
	}
	testscript.Main(m, map[string]func(){"stowage": stowage, "kubectl-stowage": stowage})
}

// TestScripts runs testdata/script. Scripts have one command of their own,
// "exits CODE COMMAND…", which runs a command that must end with that code.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *rewrite,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", filepath.Join(root, "examples"))
			return os.CopyFS(env.WorkDir, os.DirFS("testdata/market"))
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("running %s: %v", args[1], err)
		}
		code = failed.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}
