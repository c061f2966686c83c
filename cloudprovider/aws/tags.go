package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TagClaimUID, on instances, volumes and fleets, is the NodeClaim's UID: an
// instance is found by it after a crash. The other tags are Karpenter's.
const TagClaimUID = "stowage.sh/nodeclaim-uid"

// TagClassHash, on the same, is the hash of the EC2NodeClass that the instance was
// launched from, after the version of the hash: "stowage-v1/0123…". The NodeClaim
// gets both as annotations, also if the launch is found only after a crash, when
// the class may be another.
const TagClassHash = "stowage.sh/ec2nodeclass-hash"

// TagLaunchGroup, on the same, is the group of claims that they were made for together, if
// so: "group/fleet/count", with the number of the fleet among the group's and of the
// instances that it was asked for. Such an instance has no tag of a claim from birth; see Tag.
const TagLaunchGroup = "stowage.sh/launch-group"

// sharedTags are the tags of what the nodes of a class and a NodePool share:
// launch templates and what they make. IAM policies written for Karpenter ask
// for the NodePool even there. The user's own tags never replace ours.
func (p *Provider) sharedTags(c *Class, r cloudprovider.LaunchRequest) map[string]string {
	tags := map[string]string{}
	maps.Copy(tags, c.Spec.Tags)
	tags[v1.TagClusterName] = p.Cluster.Name
	tags[v1.TagClusterPrefix+p.Cluster.Name] = "owned"
	tags[v1.TagNodeClass] = c.Name
	tags[v1.TagNodePool] = r.NodePool
	return tags
}

// claimTags are the tags of what is made for one NodeClaim.
func (p *Provider) claimTags(c *Class, r cloudprovider.LaunchRequest) map[string]string {
	tags := p.sharedTags(c, r)
	tags[v1.TagNodeClaim] = r.Claim
	tags[TagClaimUID] = r.UID
	tags[TagClassHash] = v1.HashVersion + "/" + c.Hash
	return tags
}

// groupTags are the tags of what fleet number index of a group of claims makes.
func (p *Provider) groupTags(c *Class, r cloudprovider.LaunchRequest, index, count int) map[string]string {
	tags := p.sharedTags(c, r)
	tags[TagLaunchGroup] = fmt.Sprintf("%s/%d/%d", r.Group.ID, index, count)
	tags[TagClassHash] = v1.HashVersion + "/" + c.Hash
	return tags
}

// Tag writes on an instance which claim it is of, for an instance that was launched for a
// group of them. Karpenter's IAM policies allow no other tag to be set later.
func (p *Provider) Tag(ctx context.Context, id, claim string) error {
	_, err := p.EC2.CreateTags(ctx, &ec2.CreateTagsInput{
		Resources: []string{id}, Tags: ec2Tags(map[string]string{v1.TagNodeClaim: claim}),
	})
	if err != nil {
		return fmt.Errorf("tagging %s: %w", id, err)
	}
	return nil
}

// hashAnnotations are the annotations of a NodeClaim whose instance has these
// tags; nil if Stowage did not launch it.
func hashAnnotations(tags map[string]string) map[string]string {
	version, hash, ok := strings.Cut(tags[TagClassHash], "/")
	if !ok {
		return nil
	}
	return map[string]string{v1.AnnotationHash: hash, v1.AnnotationHashVersion: version}
}

// withProfile adds to the annotations of a NodeClaim the instance profile that its
// instance runs under. Stowage keeps all profiles as long as their EC2NodeClass;
// Karpenter, if it takes over, deletes those that neither a class nor such an
// annotation names.
func withProfile(annotations map[string]string, profile string) map[string]string {
	if profile == "" {
		return annotations
	}
	all := map[string]string{v1.AnnotationInstanceProfile: profile}
	maps.Copy(all, annotations)
	return all
}

// ec2Tags converts tags, in order of their keys.
func ec2Tags(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: sdk.String(k), Value: sdk.String(tags[k])})
	}
	return out
}
