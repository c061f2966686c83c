package nodeclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// Leftovers is how instance profiles are found and deleted.
type Leftovers interface {
	ListInstanceProfiles(ctx context.Context, in *iam.ListInstanceProfilesInput, opts ...func(*iam.Options)) (*iam.ListInstanceProfilesOutput, error)
	RemoveRoleFromInstanceProfile(ctx context.Context, in *iam.RemoveRoleFromInstanceProfileInput, opts ...func(*iam.Options)) (*iam.RemoveRoleFromInstanceProfileOutput, error)
	DeleteInstanceProfile(ctx context.Context, in *iam.DeleteInstanceProfileInput, opts ...func(*iam.Options)) (*iam.DeleteInstanceProfileOutput, error)
}

// Templates is how launch templates are found and deleted.
type Templates interface {
	DescribeLaunchTemplates(ctx context.Context, in *ec2.DescribeLaunchTemplatesInput, opts ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error)
	DeleteLaunchTemplate(ctx context.Context, in *ec2.DeleteLaunchTemplateInput, opts ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error)
}

// waiting is when to look again at a class that NodeClaims still use.
const waiting = 10 * time.Second

// finalize lets go of a class that is deleted, once no NodeClaim uses it. Every
// step may be repeated after a crash.
func (c *Controller) finalize(ctx context.Context, class *v1.EC2NodeClass) (time.Duration, error) {
	if !controllerutil.ContainsFinalizer(class, v1.FinalizerTermination) {
		c.forget(class.Name)
		return 0, nil
	}
	c.Classes.Put(&aws.Class{Name: class.Name, UID: string(class.UID), NotReady: "it is being deleted"})
	if claims := c.Claims(class.Name); len(claims) > 0 {
		c.Events.Event(class, corev1.EventTypeNormal, "WaitingOnNodeClaimTermination", "Waiting on NodeClaim termination for "+some(claims))
		return waiting, nil
	}
	if err := c.deleteTemplates(ctx, class); err != nil {
		return 0, err
	}
	if class.Annotations[annotationProfiles] != "" || class.Spec.Role != "" {
		if err := c.deleteProfiles(ctx, class); err != nil {
			return 0, err
		}
	}
	before := class.DeepCopy()
	controllerutil.RemoveFinalizer(class, v1.FinalizerTermination)
	if err := c.Write.Patch(ctx, class, locked(before)); err != nil {
		return 0, fmt.Errorf("removing its finalizer: %w", err)
	}
	c.forget(class.Name)
	return 0, nil
}

// some lists the first few by name and counts the rest.
func some(claims []Claim) string {
	const most = 5
	var names []string
	for _, claim := range claims {
		names = append(names, claim.GetName())
	}
	slices.Sort(names)
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d other(s)", strings.Join(names[:most], ", "), len(names)-most)
}

// deleteTemplates deletes the launch templates of the class.
func (c *Controller) deleteTemplates(ctx context.Context, class *v1.EC2NodeClass) error {
	pages := ec2.NewDescribeLaunchTemplatesPaginator(c.Templates, &ec2.DescribeLaunchTemplatesInput{Filters: []types.Filter{
		{Name: sdk.String("tag:" + v1.TagClusterName), Values: []string{c.Cluster.Name}},
		{Name: sdk.String("tag:" + v1.TagNodeClass), Values: []string{class.Name}},
	}})
	var ids []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("describing its launch templates: %w", err)
		}
		for _, t := range page.LaunchTemplates {
			ids = append(ids, sdk.ToString(t.LaunchTemplateId))
		}
	}
	for _, id := range ids {
		_, err := c.Templates.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: sdk.String(id)})
		if err != nil && !isNoTemplate(err) {
			return fmt.Errorf("deleting launch template %s: %w", id, err)
		}
	}
	return nil
}

// isNoTemplate reports whether EC2 said that a launch template does not exist.
func isNoTemplate(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.HasPrefix(api.ErrorCode(), "InvalidLaunchTemplateId.NotFound")
}

// deleteProfiles deletes all instance profiles that were made for the class, of
// its present role and of earlier ones.
func (c *Controller) deleteProfiles(ctx context.Context, class *v1.EC2NodeClass) error {
	pages := iam.NewListInstanceProfilesPaginator(c.Leftovers, &iam.ListInstanceProfilesInput{PathPrefix: sdk.String(c.profilePath(class))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing its instance profiles: %w", err)
		}
		for _, p := range page.InstanceProfiles {
			for _, r := range p.Roles {
				_, err := c.Leftovers.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: p.InstanceProfileName, RoleName: r.RoleName})
				if err != nil && !isNoEntity(err) {
					return fmt.Errorf("removing role %s from instance profile %s: %w", sdk.ToString(r.RoleName), sdk.ToString(p.InstanceProfileName), err)
				}
			}
			_, err := c.Leftovers.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: p.InstanceProfileName})
			if err != nil && !isNoEntity(err) {
				return fmt.Errorf("deleting instance profile %s: %w", sdk.ToString(p.InstanceProfileName), err)
			}
		}
	}
	return nil
}
