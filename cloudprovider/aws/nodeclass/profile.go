package nodeclass

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// Profiles is how instance profiles are made.
type Profiles interface {
	GetInstanceProfile(ctx context.Context, in *iam.GetInstanceProfileInput, opts ...func(*iam.Options)) (*iam.GetInstanceProfileOutput, error)
	CreateInstanceProfile(ctx context.Context, in *iam.CreateInstanceProfileInput, opts ...func(*iam.Options)) (*iam.CreateInstanceProfileOutput, error)
	AddRoleToInstanceProfile(ctx context.Context, in *iam.AddRoleToInstanceProfileInput, opts ...func(*iam.Options)) (*iam.AddRoleToInstanceProfileOutput, error)
	RemoveRoleFromInstanceProfile(ctx context.Context, in *iam.RemoveRoleFromInstanceProfileInput, opts ...func(*iam.Options)) (*iam.RemoveRoleFromInstanceProfileOutput, error)
}

// annotationProfiles on an EC2NodeClass says that instance profiles may have been
// made for it. A class that never had a role never needs IAM, which a cluster
// without a way out cannot reach.
const annotationProfiles = "stowage.sh/instance-profiles"

// profile returns the name of the class's instance profile. One for a role is made
// or adopted: its name is a hash of what it is for, so another role is another
// profile, and running nodes keep theirs until the class goes.
func (c *Controller) profile(ctx context.Context, class *v1.EC2NodeClass) (string, *verdict, error) {
	if class.Spec.InstanceProfile != "" {
		return class.Spec.InstanceProfile, nil, nil
	}
	role := class.Spec.Role[strings.LastIndex(class.Spec.Role, "/")+1:] // IAM wants the name without its path
	name := c.profileName(class, role)
	roles, err := c.profileRoles(ctx, class, name)
	if err != nil {
		return "", nil, err
	}
	if slices.Contains(roles, role) {
		return name, nil, nil
	}
	for _, other := range roles {
		if _, err := c.Profiles.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: sdk.String(name), RoleName: sdk.String(other)}); err != nil {
			return "", nil, fmt.Errorf("removing role %s from instance profile %s: %w", other, name, err)
		}
	}
	_, err = c.Profiles.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: sdk.String(name), RoleName: sdk.String(role)})
	if isNoEntity(err) {
		return "", verdictf("RoleNotFound", "IAM has no role %q as spec.role says", class.Spec.Role), nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("adding role %s to instance profile %s: %w", role, name, err)
	}
	return name, nil, nil
}

// profileRoles returns the roles in an instance profile, which it makes if there
// is none.
func (c *Controller) profileRoles(ctx context.Context, class *v1.EC2NodeClass, name string) ([]string, error) {
	out, err := c.Profiles.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: sdk.String(name)})
	if isNoEntity(err) {
		_, err = c.Profiles.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{
			InstanceProfileName: sdk.String(name), Path: sdk.String(c.profilePath(class)), Tags: c.profileTags(class),
		})
		if err != nil {
			return nil, fmt.Errorf("creating instance profile %s: %w", name, err)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading instance profile %s: %w", name, err)
	}
	var roles []string
	if out.InstanceProfile != nil {
		for _, r := range out.InstanceProfile.Roles {
			roles = append(roles, sdk.ToString(r.RoleName))
		}
	}
	return roles, nil
}

// profileName is the same for the same region, cluster, class and role.
func (c *Controller) profileName(class *v1.EC2NodeClass, role string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s", c.Region, c.Cluster.Name, class.UID, role))
	return c.Cluster.Name + "_" + hex.EncodeToString(sum[:8])
}

// profilePath is where all instance profiles of a class are, and nothing else.
func (c *Controller) profilePath(class *v1.EC2NodeClass) string {
	return fmt.Sprintf("/karpenter/%s/%s/%s/", c.Region, c.Cluster.Name, class.UID)
}

// profileTags are what IAM policies written for Karpenter ask for.
func (c *Controller) profileTags(class *v1.EC2NodeClass) []iamtypes.Tag {
	tags := map[string]string{}
	maps.Copy(tags, class.Spec.Tags)
	tags[v1.TagClusterName] = c.Cluster.Name
	tags[v1.TagClusterPrefix+c.Cluster.Name] = "owned"
	tags[v1.TagNodeClass] = class.Name
	tags["topology.kubernetes.io/region"] = c.Region
	var out []iamtypes.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, iamtypes.Tag{Key: sdk.String(key), Value: sdk.String(tags[key])})
	}
	return out
}

// isNoEntity reports whether IAM said that something does not exist.
func isNoEntity(err error) bool {
	_, ok := errors.AsType[*iamtypes.NoSuchEntityException](err)
	return ok
}
