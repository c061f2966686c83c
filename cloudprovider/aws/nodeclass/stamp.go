package nodeclass

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// stamp puts finalizer and hash on the class.
func (c *Controller) stamp(ctx context.Context, class *v1.EC2NodeClass) error {
	before := class.DeepCopy()
	controllerutil.AddFinalizer(class, v1.FinalizerTermination)
	if class.Annotations == nil {
		class.Annotations = map[string]string{}
	}
	class.Annotations[v1.AnnotationHash] = class.Hash()
	class.Annotations[v1.AnnotationHashVersion] = v1.HashVersion
	if class.Spec.Role != "" {
		// Before the first profile is made, so that a crash cannot lose it.
		class.Annotations[annotationProfiles] = "true"
	}
	if equality.Semantic.DeepEqual(before.ObjectMeta, class.ObjectMeta) {
		return nil
	}
	if err := c.Write.Patch(ctx, class, locked(before)); err != nil {
		return fmt.Errorf("writing its finalizer and hash: %w", err)
	}
	return nil
}

// stampClaims writes the class's hash on those of its NodeClaims whose hash is of
// another version, Karpenter's for one: hashes of two versions cannot be compared,
// and taking a cluster over must not drift its nodes. A claim that has drifted
// already stays so. One that is not launched yet gets the hash from its launch.
func (c *Controller) stampClaims(ctx context.Context, class *v1.EC2NodeClass) error {
	var failed []error
	for _, claim := range c.Claims(class.Name) {
		if !claim.Launched || claim.GetDeletionTimestamp() != nil || claim.GetAnnotations()[v1.AnnotationHashVersion] == v1.HashVersion {
			continue
		}
		before, after := claim.Object, claim.DeepCopyObject().(client.Object)
		annotations := map[string]string{}
		maps.Copy(annotations, before.GetAnnotations())
		annotations[v1.AnnotationHashVersion] = v1.HashVersion
		if !claim.Drifted {
			annotations[v1.AnnotationHash] = class.Annotations[v1.AnnotationHash]
		}
		after.SetAnnotations(annotations)
		if err := c.Write.Patch(ctx, after, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			failed = append(failed, fmt.Errorf("stamping NodeClaim %s: %w", claim.GetName(), err))
		}
	}
	return errors.Join(failed...)
}
