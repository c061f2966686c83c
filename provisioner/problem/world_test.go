package problem_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// annotationPlan on a pod or in its template names the NodeClaim or node
// ("node/…") that is planned for it; tests only.
const annotationPlan = "test/plan"

// A world is all that a translation depends on, made from text.
type world struct {
	catalog     *cloudprovider.Catalog
	prices      map[cloudprovider.Offering]pricing.MicroUSD
	objects     []client.Object
	ranOut      map[string]bool
	input       problem.Input // Excluded, NodesLeft
	commitments pricing.Commitments
	// verdicts on the overlays, of the last question.
	verdicts []problem.Verdict
}

func newWorld() *world {
	return &world{
		prices: map[cloudprovider.Offering]pricing.MicroUSD{},
		ranOut: map[string]bool{},
		input:  problem.Input{Excluded: map[string]string{}, NodesLeft: map[string]int64{}, Nominates: true},
	}
}

// defineCatalog reads lines like
//
//	m5.large cpu=2 memory=8Gi zones=a,b spot=35 on-demand=96 label:arch=arm64 gpu=1 volumes:disk.csi=2 reserved:cr-1/a=3
//
// where prices are in thousandths of a dollar and "?" is unknown. A tenth of cpu
// and memory is not allocatable. Of reservation cr-1 in zone a three are left. With
// partitions=2 before the prices, offerings are there for each of two partitions. dedicated=110 is the
// price on demand on hardware of its own. on-request=efa,… names what machines have only if they are started with it.
func (w *world) defineCatalog(text string) error {
	w.catalog = &cloudprovider.Catalog{
		Region: "r1", ZoneLabels: map[string]map[string]string{"a": {"cloud/zone-id": "z1"}, "b": {"cloud/zone-id": "z2"}, "c": {"cloud/zone-id": "z3"}},
		LabelDomains: []string{"cloud", "karpenter.k8s.aws"}, Reservations: map[string]cloudprovider.Reservation{},
		Placements: map[string]map[string]string{}, Tenancies: map[string]map[string]string{cloudprovider.Dedicated: {v1.LabelTenancy: cloudprovider.Dedicated}},
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		kind := cloudprovider.InstanceType{
			Name: words[0], Labels: map[string]string{corev1.LabelInstanceTypeStable: words[0], corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"},
			Capacity: cloudprovider.Resources{"pods": 20}, Allocatable: cloudprovider.Resources{"pods": 20},
		}
		zones, partitions := []string{"a", "b", "c"}, []string{""}
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			switch {
			case key == "zones":
				zones = strings.Split(value, ",")
			case strings.HasPrefix(key, "volumes:"):
				n, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", key, kind.Name, err)
				}
				kind.VolumeLimits = map[string]int64{strings.TrimPrefix(key, "volumes:"): n}
			case strings.HasPrefix(key, "reserved:"):
				name, zone, _ := strings.Cut(strings.TrimPrefix(key, "reserved:"), "/")
				left, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", key, kind.Name, err)
				}
				o := cloudprovider.Offering{InstanceType: kind.Name, Zone: zone, CapacityType: cloudprovider.Reserved, Reservation: name}
				kind.Offerings = append(kind.Offerings, o)
				w.catalog.Reservations[name] = cloudprovider.Reservation{Offering: o, Left: left, Labels: map[string]string{"cloud/reservation": name}}
			case strings.HasPrefix(key, "label:"):
				kind.Labels[strings.TrimPrefix(key, "label:")] = value
			case key == "on-request":
				kind.OnRequest = strings.Split(value, ",")
			case key == "impossible":
				kind.Impossible = strings.Split(value, ",")
			case key == "partitions":
				var err error
				if partitions, err = w.partition(value); err != nil {
					return fmt.Errorf("%s of %s: %w", key, kind.Name, err)
				}
			case key == "spot" || key == "on-demand" || key == "dedicated":
				for _, zone := range zones {
					w.sell(&kind, cloudprovider.Offering{InstanceType: kind.Name, Zone: zone, CapacityType: key}, partitions, value)
				}
			default:
				n, err := strconv.ParseInt(strings.TrimSuffix(value, "Gi"), 10, 64)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", key, kind.Name, err)
				}
				kind.Capacity[key], kind.Allocatable[key] = n, n
				if unit := map[string]int64{"cpu": 1000, "memory": 1 << 30}[key]; unit > 0 {
					kind.Capacity[key], kind.Allocatable[key] = n*unit, n*unit*9/10
				}
			}
		}
		slices.SortFunc(kind.Offerings, cloudprovider.Offering.Compare)
		w.catalog.InstanceTypes = append(w.catalog.InstanceTypes, kind)
	}
	slices.SortFunc(w.catalog.InstanceTypes, func(a, b cloudprovider.InstanceType) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// sell adds an offering to a type, in each of the partitions, for thousandths of a dollar.
func (w *world) sell(kind *cloudprovider.InstanceType, o cloudprovider.Offering, partitions []string, price string) {
	if o.CapacityType == "dedicated" {
		o.CapacityType, o.Tenancy, kind.Labels[v1.LabelTenancy] = cloudprovider.OnDemand, cloudprovider.Dedicated, "default"
	}
	for _, partition := range partitions {
		o.Placement = partition
		kind.Offerings = append(kind.Offerings, o)
	}
	o.Placement = ""
	if milli, err := strconv.ParseInt(price, 10, 64); err == nil {
		w.prices[o] = pricing.MicroUSD(milli * 1000)
	}
}

// partition adds so many placements to the catalog, and returns their names.
func (w *world) partition(count string) (names []string, err error) {
	n, err := strconv.Atoi(count)
	for i := 1; i <= n; i++ {
		name := fmt.Sprint("pg:", i)
		names = append(names, name)
		w.catalog.Placements[name] = map[string]string{"cloud/partition": strconv.Itoa(i)}
	}
	return names, err
}

// apply reads YAML documents. A Deployment stands for its pods.
func (w *world) apply(text string) error {
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return err
		}
		made := map[string]client.Object{
			"Pod": &corev1.Pod{}, "Node": &corev1.Node{}, "NodePool": &v1.NodePool{}, "NodeClaim": &v1.NodeClaim{},
			"DaemonSet": &appsv1.DaemonSet{}, "Namespace": &corev1.Namespace{}, "Deployment": &appsv1.Deployment{}, "NodeOverlay": &v1alpha1.NodeOverlay{}, "RuntimeClass": &nodev1.RuntimeClass{},
			"PersistentVolumeClaim": &corev1.PersistentVolumeClaim{}, "PersistentVolume": &corev1.PersistentVolume{}, "StorageClass": &storagev1.StorageClass{},
			"CSINode": &storagev1.CSINode{}, "CSIDriver": &storagev1.CSIDriver{}, "VolumeAttachment": &storagev1.VolumeAttachment{},
		}[head.Kind]
		if made == nil {
			return fmt.Errorf("kind %q", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), made); err != nil {
			return err
		}
		if d, ok := made.(*appsv1.Deployment); ok {
			w.objects = append(w.objects, podsOf(d)...)
			continue
		}
		w.objects = append(w.objects, made)
	}
	return nil
}

func podsOf(d *appsv1.Deployment) (pods []client.Object) {
	for i := range *d.Spec.Replicas {
		p := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
		p.Namespace, p.Name = d.Namespace, fmt.Sprintf("%s-%d", d.Name, i)
		pods = append(pods, p)
	}
	return pods
}

// translate builds the problem from the objects in the order they are in.
func (w *world) translate() *problem.Translation { return problem.Build(w.question()) }

// question is what a decision about the objects depends on.
func (w *world) question() *problem.Input {
	cluster := state.New()
	plans := map[types.UID]state.Plan{}
	for _, o := range w.objects {
		complete(o)
		if plan, ok := o.GetAnnotations()[annotationPlan]; ok {
			if node, ok := strings.CutPrefix(plan, "node/"); ok {
				plans[o.GetUID()] = state.Plan{Node: node}
			} else {
				plans[o.GetUID()] = state.Plan{NodeClaim: plan}
			}
		}
		cluster.Observe(o)
	}
	cluster.SetPlans(plans)
	in := w.input
	in.Snapshot = cluster.Snapshot()
	in.Catalogs = map[string]*cloudprovider.Catalog{}
	for _, o := range w.objects {
		switch o := o.(type) {
		case *v1.NodePool:
			in.Catalogs[o.Name] = w.catalog
		case *corev1.Pod:
			if _, planned := plans[o.UID]; !planned && problem.Provisionable(o) && !problem.MakesRoom(in.Snapshot, o) {
				in.Pods = append(in.Pods, o)
			}
		}
	}
	in.Prices = pricing.NewTable("r1", "the test", w.prices).WithCommitments(w.commitments)
	in.Unavailable = func(o cloudprovider.Offering) bool { return w.ranOut[o.String()] }
	in.Overlays, w.verdicts = problem.JudgeOverlays(&in, in.Snapshot.NodeOverlays.All())
	return &in
}

// complete fills in what the API server would.
func complete(o client.Object) {
	o.SetUID(types.UID(fmt.Sprintf("%T/%s/%s", o, o.GetNamespace(), o.GetName())))
	switch o := o.(type) {
	case *corev1.Pod:
		if o.Namespace == "" {
			o.Namespace = "default"
		}
		problem.SetDefaults(&o.Spec)
		if o.Spec.NodeName == "" && len(o.Status.Conditions) == 0 {
			o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		}
	case *corev1.Node:
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		if _, ok := o.Labels[corev1.LabelHostname]; !ok {
			o.Labels[corev1.LabelHostname] = o.Name
		}
	case *v1.NodePool:
		o.Spec.Template.Spec.NodeClassRef = v1.NodeClassReference{Group: "cloud", Kind: "MachineClass", Name: "default"}
	}
}
