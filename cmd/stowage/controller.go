package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

func newControllerCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:     "controller",
		Short:   "Run in a cluster (or against a kubeconfig)",
		Example: "  stowage controller --cluster-name prod --kubeconfig ~/.kube/config --leader-election-namespace kube-system",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.fromEnvironment(cmd); err != nil {
				return usageError(err)
			}
			return runController(ctrl.SetupSignalHandler(), s)
		},
	}
	s.register(cmd.Flags())
	return cmd
}

// scheme knows every kind that Stowage reads or writes.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(clientgoscheme.AddToScheme(s), v1.AddToScheme(s), v1alpha1.AddToScheme(s), v1beta1.AddToScheme(s), awsv1.AddToScheme(s))
}

// runController runs until ctx ends or the Lease is lost.
func runController(ctx context.Context, s *settings) error {
	logger, err := newLogger(s.logLevel)
	if err != nil {
		return usageError(err)
	}
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	ctx = log.IntoContext(ctx, logger)
	if s.memoryLimit > 0 {
		debug.SetMemoryLimit(s.memoryLimit / 10 * 9)
	}
	if names := s.ignored(); len(names) > 0 {
		logger.Info("these settings have no effect in this version", "settings", names)
	}
	config, err := restConfig(s)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, s)
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	cloud, err := newCloud(ctx, config, s)
	if err != nil {
		return err
	}
	w := &wiring{settings: s, manager: mgr, cloud: cloud, cluster: state.New()}
	if err := w.wire(ctx); err != nil {
		return err
	}
	logger.Info("starting", "version", version, "cluster", s.clusterName, "region", cloud.region)
	if err := mgr.Start(ctx); err != nil {
		return err
	}
	w.withdraw(context.WithoutCancel(ctx))
	return nil
}

func restConfig(s *settings) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, usageError(fmt.Errorf("reading the kubeconfig %q: %w", s.kubeconfig, err))
	}
	config.QPS, config.Burst = s.kubeQPS, s.kubeBurst
	config.UserAgent = "stowage/" + version
	return config, nil
}

func newManager(config *rest.Config, s *settings) (manager.Manager, error) {
	known, err := scheme()
	if err != nil {
		return nil, err
	}
	options := manager.Options{
		Scheme: known,
		Cache: cache.Options{
			DefaultTransform: state.Slim,
		},
		LeaderElection:                !s.noLeaderElection,
		LeaderElectionID:              s.leaseName,
		LeaderElectionNamespace:       s.leaseSpace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: s.address(s.metricsPort)},
		HealthProbeBindAddress:        s.address(s.healthPort),
	}
	if s.profiling {
		options.Metrics.ExtraHandlers = profilingHandlers()
	}
	return manager.New(config, options)
}

// address returns the form of a port that controller-runtime takes; 0 is none.
func (s *settings) address(port int) string {
	if port == 0 {
		return "0"
	}
	return net.JoinHostPort(s.bindAddress, strconv.Itoa(port))
}

// watch starts the watches and makes readiness wait for them.
func (w *wiring) watch(ctx context.Context) error {
	w.feed = &feed{cache: w.manager.GetCache(), cluster: w.cluster, observer: w.instruments.observer}
	kinds := []client.Object{&corev1.Pod{}, &corev1.Node{}, &v1.NodeClaim{}, &v1.NodePool{}, &appsv1.DaemonSet{},
		&corev1.Namespace{}, &nodev1.RuntimeClass{}, &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &storagev1.StorageClass{}, &storagev1.CSIDriver{},
		&storagev1.CSINode{}, &storagev1.VolumeAttachment{}, &policyv1.PodDisruptionBudget{}, &awsv1.EC2NodeClass{}}
	if len(w.settings.spreads) > 0 { // they may be many, and nobody else asks for them
		kinds = append(kinds, &corev1.Service{}, &corev1.ReplicationController{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{})
	}
	if w.settings.surge {
		kinds = append(kinds, &appsv1.Deployment{})
	}
	if w.overlays {
		kinds = append(kinds, &v1alpha1.NodeOverlay{})
	}
	if w.buffers {
		kinds = append(kinds, &v1beta1.CapacityBuffer{})
	}
	if err := w.feed.watch(ctx, kinds...); err != nil {
		return err
	}
	return errors.Join(
		w.manager.AddHealthzCheck("ping", healthz.Ping),
		w.manager.AddReadyzCheck("caches", w.feed.check),
	)
}

// newClaimName returns the name of a new NodeClaim: the NodePool's and five
// letters, as generateName would make it. Two equal names are refused by the API
// server, and the pods are solved again.
func newClaimName(pool string) string { return pool + "-" + utilrand.String(5) }

// jitter spreads what many would do at once over a tenth of the interval.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/10+1) }
