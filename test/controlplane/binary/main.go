// Command binary is a Kubernetes control plane in one executable: etcd, the
// three servers of Kubernetes, kwok and kubectl.
//
// They share most of their packages: one executable takes two thirds of the time
// of six, and a third of the disk. Which program runs is decided by the name
// it is called by (a symbolic link), or else by its first argument:
//
//	ln -s binary etcd && ./etcd --data-dir=…
//	./binary etcd --data-dir=…
//
// It is a module of its own, because Kubernetes can only be built with a
// replace line for each of its staging modules, and a module with replace lines
// cannot be installed. Nothing of the product imports it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	_ "time/tzdata" // CronJobs may name a time zone where the machine has none

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // the JSON log format
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go's metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build_info metric
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

// programs maps the name of each program to its entry point. An entry point
// reads os.Args and need not return.
var programs = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { serve(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { serve(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { serve(scheduler.NewSchedulerCommand()) },
	"kubectl":                 runKubectl,
	"kwok":                    runKwok,
}

func main() {
	program, ok := programs[filepath.Base(os.Args[0])]
	if !ok && len(os.Args) > 1 {
		if program, ok = programs[os.Args[1]]; ok {
			os.Args = os.Args[1:]
		}
	}
	if !ok {
		var names []string
		for name := range programs {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "usage: %s {%s} [arguments]\n", filepath.Base(os.Args[0]), strings.Join(names, "|"))
		os.Exit(2)
	}
	if err := holdLifeline(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	program()
}

// holdLifeline ties this process to the one that started it. If
// STOWAGE_LIFELINE holds the number of an open file, the read end of a pipe
// whose write end only the parent has, the process exits when that pipe ends:
// the kernel closes it however the parent dies, SIGKILL included.
//
// A parent-death signal would do the same on Linux only, and follows the
// parent's thread instead of its process.
func holdLifeline() error {
	value, ok := os.LookupEnv("STOWAGE_LIFELINE")
	if !ok {
		return nil
	}
	fd, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("reading STOWAGE_LIFELINE: %w", err)
	}
	if err := os.Unsetenv("STOWAGE_LIFELINE"); err != nil {
		return fmt.Errorf("clearing STOWAGE_LIFELINE: %w", err)
	}
	pipe := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		// Nothing is ever written, so Read returns at the end of the pipe only.
		_, err := pipe.Read(make([]byte, 1))
		fmt.Fprintln(os.Stderr, "the process that started this one is gone:", err)
		os.Exit(1)
	}()
	return nil
}

func serve(c *cobra.Command) { os.Exit(cli.Run(c)) }

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
