package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// An API keeps objects as an API server does: resource versions that rise,
// merge patches, a status that only its own patch can write, optimistic locks,
// and finalizers that hold what is deleted. Objects given out are copies.
type API struct {
	// Writes counts the writes that changed something, by kind.
	Writes map[string]int
	// Hold, if set, says which deleted pods their kubelet never ends.
	Hold func(*corev1.Pod) bool
	// Slow, if set, says which pods take all of their grace period to end.
	Slow func(*corev1.Pod) bool

	world   *World
	version uint64
	uids    int
	shelves map[string]*shelf // by kind
	watches []func(obj client.Object, gone bool)
}

func newAPI(w *World) *API {
	return &API{world: w, Writes: map[string]int{}, shelves: map[string]*shelf{}}
}

// A shelf has the objects of one kind, by namespace and name. They are replaced, and never
// modified.
type shelf struct {
	byKey  map[types.NamespacedName]client.Object
	sorted []client.Object
}

// shelf returns that of a kind.
func (a *API) shelf(kind string) *shelf {
	s := a.shelves[kind]
	if s == nil {
		s = &shelf{byKey: map[types.NamespacedName]client.Object{}}
		a.shelves[kind] = s
	}
	return s
}

func (s *shelf) place(obj client.Object) (at int, there bool) {
	return slices.BinarySearchFunc(s.sorted, obj, func(x, y client.Object) int {
		return cmp.Or(cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetName(), y.GetName()))
	})
}

func (s *shelf) put(obj client.Object) {
	s.byKey[client.ObjectKeyFromObject(obj)] = obj
	at, there := s.place(obj)
	if there {
		s.sorted[at] = obj
		return
	}
	s.sorted = slices.Insert(s.sorted, at, obj)
}

func (s *shelf) remove(obj client.Object) {
	delete(s.byKey, client.ObjectKeyFromObject(obj))
	if at, there := s.place(obj); there {
		s.sorted = slices.Delete(s.sorted, at, at+1)
	}
}

// KindOf names the kind of an object.
func KindOf(obj client.Object) string {
	return reflect.TypeOf(obj).Elem().Name()
}

// watched reports whether processes watch objects of a kind.
func watched(obj client.Object) bool {
	return slices.ContainsFunc(kinds, func(kind client.Object) bool { return KindOf(kind) == KindOf(obj) })
}

// Get returns a copy of an object of obj's kind, nil if there is none.
func Get[T client.Object](a *API, namespace, name string) (T, bool) {
	var zero T
	obj, ok := a.shelf(reflect.TypeFor[T]().Elem().Name()).byKey[types.NamespacedName{Namespace: namespace, Name: name}]
	if !ok {
		return zero, false
	}
	return obj.DeepCopyObject().(T), true
}

// List returns copies of the objects of a kind, by namespace and name.
func List[T client.Object](a *API) []T {
	all := stored[T](a)
	for i, obj := range all {
		all[i] = obj.DeepCopyObject().(T)
	}
	return all
}

// stored returns the objects of a kind themselves, which must not be modified, by
// namespace and name.
func stored[T client.Object](a *API) []T {
	sorted := a.shelf(reflect.TypeFor[T]().Elem().Name()).sorted
	all := make([]T, len(sorted))
	for i, obj := range sorted {
		all[i] = obj.(T)
	}
	return all
}

// kinds are all that processes watch, in the order in which they list them. The API keeps others as
// well.
var kinds = []client.Object{
	&awsv1.EC2NodeClass{}, &v1.NodePool{}, &v1alpha1.NodeOverlay{}, &v1beta1.CapacityBuffer{}, &v1.NodeClaim{}, &corev1.Node{}, &corev1.Pod{}, &appsv1.DaemonSet{}, &appsv1.Deployment{}, &corev1.Namespace{}, &nodev1.RuntimeClass{}, &policyv1.PodDisruptionBudget{},
	&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &storagev1.StorageClass{}, &storagev1.CSIDriver{}, &storagev1.CSINode{}, &storagev1.VolumeAttachment{},
}

// all returns copies of all objects, kind by kind.
func (a *API) all() []client.Object {
	var all []client.Object
	for _, kind := range kinds {
		for _, obj := range a.shelf(KindOf(kind)).sorted {
			all = append(all, obj.DeepCopyObject().(client.Object))
		}
	}
	return all
}

// owned returns the objects themselves that have an owner, which must not be modified.
func (a *API) owned() []client.Object {
	var all []client.Object
	for _, kind := range kinds {
		for _, obj := range a.shelf(KindOf(kind)).sorted {
			if len(obj.GetOwnerReferences()) > 0 {
				all = append(all, obj)
			}
		}
	}
	return all
}

// Create stores a new object and fills in what the server decides. Status is
// kept, as for a Node that kubelet creates.
func (a *API) Create(obj client.Object) error {
	if obj.GetName() == "" {
		obj.SetName(fmt.Sprintf("%s%05d", obj.GetGenerateName(), a.world.Rand.IntN(100000)))
	}
	if _, ok := a.find(obj); ok {
		return apierrors.NewAlreadyExists(resourceOf(obj), obj.GetName())
	}
	switch o := obj.(type) {
	case *v1.NodePool:
		o.SetDefaults()
	case *v1.NodeClaim:
		o.SetDefaults()
	case *v1beta1.CapacityBuffer:
		o.SetDefaults()
	}
	a.uids++
	obj.SetUID(types.UID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", a.uids)))
	obj.SetGeneration(1)
	obj.SetCreationTimestamp(metav1.NewTime(a.world.Now.Truncate(time.Second)))
	obj.SetDeletionTimestamp(nil)
	a.store(obj)
	return nil
}

// Patch applies a patch of Stowage's to an object, or to its status alone, and leaves
// the server's answer in obj. A patch that changes nothing writes nothing.
func (a *API) Patch(obj client.Object, patch client.Patch, status bool) error {
	current, ok := a.find(obj)
	if !ok {
		return apierrors.NewNotFound(resourceOf(obj), obj.GetName())
	}
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	patched, err := apply(current, patch.Type(), data)
	if err != nil {
		return err
	}
	next, err := merge(current, patched, status)
	if err != nil {
		return err
	}
	if err := admit(current, next); err != nil {
		return err
	}
	sign(current, next, state.FieldManager)
	a.storeIfChanged(current, next)
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(next.DeepCopyObject()).Elem())
	return nil
}

// Delete begins the end of an object, or ends it if nothing holds it: its UID
// must match if it has one. A bound pod is held by its kubelet, for the grace period
// that the options give it or else its own; a later, shorter one cuts it.
func (a *API) Delete(obj client.Object, options ...client.DeleteOption) error {
	current, ok := a.find(obj)
	if !ok {
		return apierrors.NewNotFound(resourceOf(obj), obj.GetName())
	}
	if uid := obj.GetUID(); uid != "" && uid != current.GetUID() {
		return apierrors.NewConflict(resourceOf(obj), obj.GetName(), fmt.Errorf("the UID is %s, not %s", current.GetUID(), uid))
	}
	next := current.DeepCopyObject().(client.Object)
	at := metav1.NewTime(a.world.Now.Truncate(time.Second))
	if pod, ok := next.(*corev1.Pod); ok && pod.Spec.NodeName != "" && !ended(pod) {
		if expire(pod, at, options) {
			a.store(pod)
		}
		return nil
	}
	if current.GetDeletionTimestamp() != nil {
		return nil
	}
	next.SetDeletionTimestamp(&at)
	a.store(next)
	return nil
}

// expire says on a pod when its time ends that is deleted now, and reports whether that
// is news: a pod that is on its way out gets no more time, and less counts from when it
// was first deleted, as with the API server.
func expire(pod *corev1.Pod, now metav1.Time, options []client.DeleteOption) bool {
	asked := new(client.DeleteOptions).ApplyOptions(options).GracePeriodSeconds
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	switch {
	case asked != nil:
		grace = *asked
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	begun := now.Time
	if pod.DeletionTimestamp != nil {
		was := *pod.DeletionGracePeriodSeconds
		if asked == nil || grace >= was {
			return false
		}
		begun = pod.DeletionTimestamp.Add(-time.Duration(was) * time.Second)
	}
	at := metav1.NewTime(begun.Add(time.Duration(grace) * time.Second))
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &at, &grace
	return true
}

// Remove ends an object at once, whatever holds it.
func (a *API) Remove(obj client.Object) {
	current, ok := a.find(obj)
	if !ok || current.GetUID() != obj.GetUID() {
		return
	}
	a.shelf(KindOf(obj)).remove(obj)
	a.version++
	a.world.trace("%s %s is gone", KindOf(obj), client.ObjectKeyFromObject(obj))
	for _, watch := range a.watches {
		watch(current, true)
	}
}

// Update changes an object as one of Kubernetes' own parts would, without locks
// and with all of it writable. It does nothing if the object is gone.
func Update[T client.Object](a *API, obj T, edit func(T)) {
	current, ok := a.find(obj)
	if !ok || current.GetUID() != obj.GetUID() {
		return
	}
	next := current.DeepCopyObject().(T)
	edit(next)
	sign(current, next, "kubernetes")
	a.storeIfChanged(current, next)
}

// storeIfChanged keeps next in the place of current, if they differ.
func (a *API) storeIfChanged(current, next client.Object) {
	if equality.Semantic.DeepEqual(current, next) {
		return
	}
	if !equality.Semantic.DeepEqual(specOf(current), specOf(next)) {
		next.SetGeneration(current.GetGeneration() + 1)
	}
	a.store(next)
}

// store keeps obj under a new version and tells the watches; what is deleted and
// held by nothing is gone.
func (a *API) store(obj client.Object) {
	a.version++
	obj.SetResourceVersion(strconv.FormatUint(a.version, 10))
	kind, key := KindOf(obj), client.ObjectKeyFromObject(obj)
	a.Writes[kind]++
	stored := obj.DeepCopyObject().(client.Object)
	a.shelf(kind).put(stored)
	pod, isPod := obj.(*corev1.Pod)
	held := len(obj.GetFinalizers()) > 0 || isPod && pod.Spec.NodeName != "" && !ended(pod)
	if obj.GetDeletionTimestamp() != nil && !held {
		a.Remove(obj)
		return
	}
	a.world.trace("%s %s is at version %d", kind, key, a.version)
	for _, watch := range a.watches {
		watch(stored, false)
	}
}

func (a *API) find(obj client.Object) (client.Object, bool) {
	found, ok := a.shelf(KindOf(obj)).byKey[client.ObjectKeyFromObject(obj)]
	return found, ok
}

// checkLock compares the resource version and UID that a patch insists on.
func checkLock(current client.Object, data []byte) error {
	var lock struct {
		Metadata struct{ ResourceVersion, UID string }
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if v := lock.Metadata.ResourceVersion; v != "" && v != current.GetResourceVersion() {
		return apierrors.NewConflict(resourceOf(current), current.GetName(),
			fmt.Errorf("the version is %s, not %s", current.GetResourceVersion(), v))
	}
	if uid := lock.Metadata.UID; uid != "" && uid != string(current.GetUID()) {
		return apierrors.NewConflict(resourceOf(current), current.GetName(), fmt.Errorf("the UID is %s", current.GetUID()))
	}
	return nil
}

// apply returns what a patch makes of an object.
func apply(current client.Object, kind types.PatchType, data []byte) ([]byte, error) {
	switch kind {
	case types.MergePatchType:
		if err := checkLock(current, data); err != nil {
			return nil, err
		}
		patched, err := jsonpatch.MergePatch(encode(current), data)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return patched, nil
	case types.JSONPatchType:
		operations, err := jsonpatch.DecodePatch(data)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		patched, err := operations.Apply(encode(current))
		if err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", resourceOf(current), current.GetName(), err.Error(), 0, false)
		}
		return patched, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("patches of type %s are not understood here", kind))
}

// sign notes who changed a pod's nomination: of managed fields, that alone is kept.
func sign(current, next client.Object, manager string) {
	was, ok := current.(*corev1.Pod)
	if is, _ := next.(*corev1.Pod); ok && was.Status.NominatedNodeName != is.Status.NominatedNodeName {
		is.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: manager, FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:nominatedNodeName":{}}}`)}}
	}
}

// merge takes a patched object for the next version. A patch of the status changes
// nothing else, and any other leaves it alone; what only the server sets stays.
func merge(current client.Object, patched []byte, status bool) (client.Object, error) {
	next := reflect.New(reflect.TypeOf(current).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(patched, next); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	from, to := reflect.ValueOf(current.DeepCopyObject()).Elem(), reflect.ValueOf(next).Elem()
	if status {
		kept := to.FieldByName("Status").Interface()
		to.Set(from)
		to.FieldByName("Status").Set(reflect.ValueOf(kept))
	} else if s := to.FieldByName("Status"); s.IsValid() {
		s.Set(from.FieldByName("Status"))
	}
	next.SetUID(current.GetUID())
	next.SetGeneration(current.GetGeneration())
	next.SetResourceVersion(current.GetResourceVersion())
	next.SetCreationTimestamp(current.GetCreationTimestamp())
	next.SetDeletionTimestamp(current.GetDeletionTimestamp())
	return next, nil
}

// admit refuses what the API server would.
func admit(current, next client.Object) error {
	if claim, ok := next.(*v1.NodeClaim); ok && !equality.Semantic.DeepEqual(specOf(current), specOf(claim)) {
		return apierrors.NewInvalid(schema.GroupKind{Group: v1.Group, Kind: "NodeClaim"}, claim.Name, nil)
	}
	if current.GetDeletionTimestamp() == nil {
		return nil
	}
	for _, f := range next.GetFinalizers() {
		if !slices.Contains(current.GetFinalizers(), f) {
			return apierrors.NewForbidden(resourceOf(next), next.GetName(), fmt.Errorf("no finalizer may be added to what is being deleted"))
		}
	}
	return nil
}

func encode(obj client.Object) []byte {
	data, err := json.Marshal(obj)
	if err != nil { // API types always encode
		panic(err)
	}
	return data
}

// specOf returns the spec of an object, nil if it has none.
func specOf(obj client.Object) any {
	spec := reflect.ValueOf(obj).Elem().FieldByName("Spec")
	if !spec.IsValid() {
		return nil
	}
	return spec.Interface()
}

// resourceOf names an object's resource well enough for an error.
func resourceOf(obj client.Object) schema.GroupResource {
	return schema.GroupResource{Resource: KindOf(obj)}
}
