package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/cmd/stowage/manifest"
	"github.com/stowage-sh/stowage/cmd/stowage/plan"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// planFlags are the flags of `stowage plan`.
type planFlags struct {
	// The cluster: manifests, or the API server of a kubeconfig, or both.
	files      []string
	kubeconfig string

	// The market. Files that are not named are those in the binary; nil zones are
	// for the NodeClasses to say.
	region     string
	zones      []string
	typesFile  string
	pricesFile string
	reserved   string
	committed  string
	advisor    string
	notes      []string // on what was read
	kubernetes string   // the version of the cluster of kubeconfig

	// The answer: its form, the work that goes into it, and whether a pod without a
	// place is a failure.
	output              string
	maxSteps            int64
	preferencePolicy    string
	minValuesPolicy     string
	schedulers          []string
	schedulerConfig     string
	spreads             problem.DefaultSpreads // of schedulerConfig
	failOnUnschedulable bool
	verify              bool
	consolidate         bool
}

// planFormats are the values of --output.
var planFormats = []string{"text", "json"}

func newPlanCommand(now func() time.Time) *cobra.Command {
	f := &planFlags{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE_OR_FOLDER",
		Short: "Say what would be bought for pending pods, offline or against a cluster, read-only",
		Long: "Plan reads a cluster from manifests, or from a running one, and says which nodes Stowage would buy for\n" +
			"the pods that have none, at which price, and which pods find no place and why. It buys and changes nothing.\n\n" +
			"Deployments, StatefulSets, ReplicaSets and Jobs stand for their pods when none of these is given.\n\n" +
			"With --consolidate it also says which nodes that run would go because other places for their pods cost less, in\n" +
			"order, until nothing more pays; and of each node that stays why. Disruption budgets are not asked: they say how\n" +
			"many nodes go at a time, and this is where it ends. Pods that wait are planned first; nodes that get any stay.",
		Example: "  stowage plan -f examples/basic\n" +
			"  stowage plan -f nodepool.yaml -f deployments/ --region eu-west-1 -o json\n" +
			"  kubectl get -A pods,nodes,namespaces,daemonsets,pvc,pv,storageclasses,csinodes,nodepools,ec2nodeclasses -o yaml | stowage plan -f -\n" +
			"  stowage plan -f examples/consolidate --consolidate",
		Args: refuseArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, now) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "file or folder of manifests, or - for standard input; may be repeated")
	flags.StringVarP(&f.output, "output", "o", "text", "format of the plan: "+strings.Join(planFormats, " or "))
	flags.StringVar(&f.region, "region", "us-east-1", "region to buy in")
	flags.StringSliceVar(&f.zones, "zones", nil, "zones to buy in; default: those of the EC2NodeClass's subnets, or the first three of the region")
	flags.StringVar(&f.typesFile, "instance-types", "", "JSON file of instance types, as `aws ec2 describe-instance-types` prints it; default: the embedded catalog")
	flags.StringVar(&f.pricesFile, "prices", "", "CSV `file` of prices: region,type,zone,capacityType,usdPerHour; default: the embedded prices")
	flags.StringVar(&f.reserved, "capacity-reservations", "", "JSON `file` of capacity reservations, as `aws ec2 describe-capacity-reservations` prints it; default: none is used")
	flags.StringVar(&f.committed, "commitments", "", commitmentsUsage)
	flags.StringVar(&f.advisor, "spot-interruptions", "", interruptionsUsage)
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` of a cluster to read; objects of -f go before those of the same name in the cluster")
	flags.StringVar(&f.preferencePolicy, "preference-policy", respect, respect+": what pods prefer is heard where it costs little; "+ignore+": it is left to kube-scheduler")
	flags.StringVar(&f.minValuesPolicy, "min-values-policy", strict, minValuesUsage)
	flags.StringSliceVar(&f.schedulers, "scheduler-names", nil, schedulerNamesUsage)
	flags.StringVar(&f.schedulerConfig, "scheduler-config", "", schedulerConfigUsage)
	flags.Int64Var(&f.maxSteps, "max-steps", 0, "budget for improving the plan, in the solver's own steps; 0: as many as usual")
	flags.BoolVar(&f.verify, "verify", false, "ask kube-scheduler's own filters about the plan; exit with code 1 if they refuse a pod")
	flags.BoolVar(&f.consolidate, "consolidate", false, "say also which of the nodes that run would go to save money, and why the others stay")
	flags.BoolVar(&f.failOnUnschedulable, "fail-on-unschedulable", false, "exit with code 1 if a pod finds no place")
	return cmd
}

// run makes the plan and prints it. Notes go to standard error, so that what is
// piped on is the plan and nothing else; they come only with a plan, since an
// error is the one line that it is.
func (f *planFlags) run(cmd *cobra.Command, now func() time.Time) error {
	if err := f.validate(); err != nil {
		return usageError(err)
	}
	market, err := f.market(cmd.Context(), now())
	if err != nil {
		return usageError(err)
	}
	in := plan.Input{Market: *market, MaxSteps: f.maxSteps, Spreads: f.spreads, Schedulers: f.schedulers, Verify: f.verify, Consolidate: f.consolidate, Now: now,
		IgnorePreferences: f.preferencePolicy == ignore, RelaxMinValues: f.minValuesPolicy == bestEffort}
	set, selecting, err := f.read(cmd)
	if err != nil {
		return err
	}
	if f.consolidate && f.kubeconfig == "" && !set.HasKind("Node") { // somebody forgot them
		return usageError(errors.New("--consolidate: there is no Node: add the nodes that run to the manifests, and their pods (kubectl get -A pods,nodes,… -o yaml)"))
	}
	in.Objects, in.Market.Version = slices.Concat(selecting, set.All()), f.kubernetes
	for _, r := range set.Refusals() {
		in.Refused = append(in.Refused, plan.Refused(r))
	}
	made, err := plan.Make(cmd.Context(), in)
	if wrong, ok := errors.AsType[*plan.InputError](err); ok {
		return usageError(wrong)
	}
	if err != nil {
		return err
	}
	for _, note := range slices.Concat(f.notes, set.Notes(), made.Notes) {
		cmd.PrintErrln("note: " + note)
	}
	write := made.WriteText
	if f.output == "json" {
		write = made.WriteJSON
	}
	if err := write(cmd.OutOrStdout()); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if n := made.Refusals(); n > 0 {
		return fmt.Errorf("kube-scheduler would refuse %d pod(s) of the plan", n)
	}
	if n := made.Unschedulable(); n > 0 && f.failOnUnschedulable {
		return fmt.Errorf("%d pod(s) found no place", n)
	}
	return nil
}

// validate refuses what can be refused before anything is read.
func (f *planFlags) validate() error {
	switch {
	case len(f.files) == 0 && f.kubeconfig == "":
		return errors.New("nothing to plan for: give manifests with -f, or a cluster with --kubeconfig")
	case !slices.Contains(planFormats, f.output):
		return fmt.Errorf("--output: there is no format %q, only %s", f.output, strings.Join(planFormats, " and "))
	case f.maxSteps < 0:
		return fmt.Errorf("--max-steps: %d is negative", f.maxSteps)
	}
	var err error
	if f.spreads, err = readSchedulerConfig(f.schedulerConfig); err != nil {
		return err
	}
	return checkPolicies(f.preferencePolicy, f.minValuesPolicy)
}

// read returns the manifests, over the objects of the cluster if there is one,
// and expanded to pods; and what in the cluster says which pods belong together, or is
// referred to by CapacityBuffers, which stands for no pods.
func (f *planFlags) read(cmd *cobra.Command) (set *manifest.Set, selecting []client.Object, err error) {
	sources, err := manifest.Open(f.files, cmd.InOrStdin())
	if err != nil {
		return nil, nil, usageError(err)
	}
	set, err = manifest.Read(sources)
	if err != nil {
		return nil, nil, usageError(err)
	}
	if f.kubeconfig != "" {
		cluster, kube, err := openCluster(cmd.Context(), f.kubeconfig)
		if err != nil {
			return nil, nil, err
		}
		f.kubernetes = kube.get()
		live, err := listAll(cmd.Context(), cluster, planned())
		if err != nil {
			return nil, nil, err
		}
		set.Merge(live)
		kinds := []client.ObjectList{}
		if len(f.spreads) > 0 {
			kinds = append(kinds, selected()...)
		}
		if set.HasKind("CapacityBuffer") {
			kinds = append(kinds, referred()...)
		}
		if selecting, err = listAll(cmd.Context(), cluster, kinds); err != nil {
			return nil, nil, err
		}
	}
	if err := set.Expand(); err != nil {
		return nil, nil, usageError(err)
	}
	return set, selecting, nil
}

// market reads what can be bought, from files or from the binary. With files for
// both, a region may be planned for of which the binary has no prices. Capacity blocks
// are about to end by now.
func (f *planFlags) market(ctx context.Context, now time.Time) (*plan.Market, error) {
	m := &plan.Market{Region: f.region, Zones: f.zones, Source: "embedded, of " + aws.EmbeddedDate}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	var err error
	if f.typesFile != "" {
		m.Source = f.typesFile
		m.Types, err = readFile(f.typesFile, func(file *os.File) ([]aws.TypeInfo, error) { return aws.ReadTypes(file, f.typesFile) })
	} else {
		m.Types = aws.EmbeddedTypes()
	}
	if err != nil {
		return nil, err
	}
	if f.reserved != "" {
		m.Reservations, err = readFile(f.reserved, func(file *os.File) ([]aws.Reservation, error) { return aws.ReadReservations(file, f.reserved, now) })
		if err != nil {
			return nil, err
		}
	}
	if f.pricesFile != "" {
		m.Prices, err = readFile(f.pricesFile, func(file *os.File) (*pricing.Table, error) { return pricing.ReadCSV(file, f.pricesFile, f.region) })
	} else {
		m.Prices, err = pricing.Embedded(f.region)
	}
	if err != nil {
		return nil, err
	}
	if f.committed != "" {
		if m.Prices, err = f.commit(ctx, m.Prices, now); err != nil {
			return nil, err
		}
	}
	if f.advisor != "" {
		rates, err := readInterruptions(f.advisor, f.region)
		if err != nil {
			return nil, err
		}
		m.Prices = m.Prices.WithInterruptions(rates)
	}
	return m, nil
}

// readFile opens a file for read. What read says names the file already.
func readFile[T any](name string, read func(*os.File) (T, error)) (T, error) {
	file, err := os.Open(name)
	if err != nil {
		var none T
		if wrong, ok := errors.AsType[*os.PathError](err); ok {
			err = wrong.Err
		}
		return none, fmt.Errorf("reading %s: %w", name, err)
	}
	defer file.Close()
	return read(file)
}
