package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

// version is set when a release is built, by the linker.
var version = "dev"

// commit returns the revision that the binary was built from, or "unknown".
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	return revision + modified
}

// newVersionCommand says how old the embedded facts are as well: a plan is no
// better than its prices.
func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and of which day the embedded catalog and prices are",
		Example: "  stowage version",
		Args:    refuseArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "stowage %s (commit %s, %s, %s/%s)\ninstance types of %s, prices of %s\n",
				version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH, aws.EmbeddedDate, pricing.EmbeddedDate)
			return err
		},
	}
}
