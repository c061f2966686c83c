package nodeclass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// Parameters is where AWS publishes the IDs of its images.
type Parameters interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// An image is an AMI as EC2 describes it, with what an instance type needs to
// run it.
type image struct {
	v1.AMI
	created string // RFC 3339 in UTC, so that text sorts as time
}

// images finds the spec's images: the best of each set of requirements, newest
// first.
func (c *Controller) images(ctx context.Context, m moment) ([]v1.AMI, *verdict, error) {
	var found []image
	spec := &m.class.Spec
	if family, release, ok := spec.Alias(); ok {
		// A version that is not understood is left to the look-up.
		if why, _ := UnsupportedAlias(spec, m.version); why != "" {
			return nil, &verdict{"UnsupportedAlias", why}, nil
		}
		images, err := c.published(ctx, m.now, parametersOf(family, m.version, release))
		if err != nil {
			return nil, nil, err
		}
		found = images
	} else {
		images, err := c.selected(ctx, m.now, spec.AMISelectorTerms)
		if err != nil {
			return nil, nil, err
		}
		found = images
	}
	if len(found) == 0 {
		return nil, verdictf("AMINotFound", "no image matches spec.amiSelectorTerms: %s", saidTerms(spec.AMISelectorTerms, m.version)), nil
	}
	return best(found), nil, nil
}

// published finds the images that AWS publishes under the parameters. Not every
// release has every variant.
func (c *Controller) published(ctx context.Context, now time.Time, parameters []parameter) ([]image, error) {
	needs := map[string][]variant{}
	for _, p := range parameters {
		id, ok, err := c.parameter(ctx, p.name)
		if err != nil {
			return nil, err
		}
		if ok {
			needs[id] = append(needs[id], p.variants...)
		}
	}
	if len(needs) == 0 {
		return nil, nil
	}
	found, err := c.describe(ctx, now, &ec2.DescribeImagesInput{IncludeDeprecated: sdk.Bool(true), Filters: []types.Filter{byID(slices.Sorted(maps.Keys(needs)))}})
	var out []image
	for _, i := range found {
		// One image may be for several kinds of instance types, and is listed for each.
		arch := i.Requirements
		for _, requirements := range needs[i.ID] {
			i.Requirements = slices.Concat(arch, requirements)
			out = append(out, i)
		}
	}
	return out, err
}

// selected finds images by the terms of a spec without alias.
func (c *Controller) selected(ctx context.Context, now time.Time, terms []v1.AMISelectorTerm) ([]image, error) {
	var ids []string
	var found []image
	for _, t := range terms {
		switch {
		case t.SSMParameter != "":
			id, ok, err := c.parameter(ctx, t.SSMParameter)
			if err != nil {
				return nil, err
			}
			if ok {
				ids = append(ids, id)
			}
		case t.ID != "":
			ids = append(ids, t.ID)
		default:
			in := &ec2.DescribeImagesInput{Owners: []string{"self", "amazon"}, Filters: tagFilters(t.Tags), MaxResults: sdk.Int32(1000)}
			if t.Owner != "" {
				in.Owners = []string{t.Owner}
			}
			if t.Name != "" {
				in.Filters = append(in.Filters, types.Filter{Name: sdk.String("name"), Values: []string{t.Name}})
			}
			images, err := c.describe(ctx, now, in)
			if err != nil {
				return nil, err
			}
			found = append(found, images...)
		}
	}
	if len(ids) == 0 {
		return found, nil
	}
	named, err := c.describe(ctx, now, &ec2.DescribeImagesInput{IncludeDeprecated: sdk.Bool(true), Filters: []types.Filter{byID(ids)}})
	return append(found, named...), err
}

func byID(ids []string) types.Filter {
	return types.Filter{Name: sdk.String("image-id"), Values: ids}
}

// parameter reads an image ID from SSM; false if there is no such parameter.
func (c *Controller) parameter(ctx context.Context, name string) (id string, ok bool, err error) {
	out, err := c.Parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: sdk.String(name)})
	if _, missing := errors.AsType[*ssmtypes.ParameterNotFound](err); missing {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("reading SSM parameter %s: %w", name, err)
	}
	if out.Parameter == nil || sdk.ToString(out.Parameter.Value) == "" {
		return "", false, nil
	}
	return *out.Parameter.Value, true, nil
}

// describe asks EC2 for images, and leaves out those that no node can run.
func (c *Controller) describe(ctx context.Context, now time.Time, in *ec2.DescribeImagesInput) ([]image, error) {
	var out []image
	pages := ec2.NewDescribeImagesPaginator(c.EC2, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing images: %w", err)
		}
		for _, i := range page.Images {
			arch, ok := architectures[i.Architecture]
			if !ok || i.State != types.ImageStateAvailable {
				continue
			}
			deprecated := false
			if at, err := time.Parse(time.RFC3339, sdk.ToString(i.DeprecationTime)); err == nil {
				deprecated = !now.Before(at)
			}
			out = append(out, image{created: sdk.ToString(i.CreationDate), AMI: v1.AMI{
				ID: sdk.ToString(i.ImageId), Name: sdk.ToString(i.Name), Deprecated: deprecated,
				Requirements: []corev1.NodeSelectorRequirement{{Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: []string{arch}}},
			}})
		}
	}
	return out, nil
}

var architectures = map[types.ArchitectureValues]string{types.ArchitectureValuesX8664: "amd64", types.ArchitectureValuesArm64: "arm64"}

// best keeps, of the images with one set of requirements, the newest that is not
// deprecated; a deprecated one only if all are.
func best(images []image) []v1.AMI {
	// Stable, since one image may stand there several times, with what it is for in order.
	slices.SortStableFunc(images, func(a, b image) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.created, a.created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	seen := map[string]bool{}
	var out []v1.AMI
	for _, i := range images {
		if key := fmt.Sprint(i.Requirements); !seen[key] {
			seen[key] = true
			out = append(out, i.AMI)
		}
	}
	return out
}

func rank(i image) int {
	if i.Deprecated {
		return 1
	}
	return 0
}

// saidTerms is the terms in words, by their index.
func saidTerms(terms []v1.AMISelectorTerm, version string) string {
	out := make([]string, len(terms))
	for i, t := range terms {
		var words []string
		add := func(name, value string) {
			if value != "" {
				words = append(words, name+" "+value)
			}
		}
		add("alias", t.Alias)
		if t.Alias != "" {
			words = append(words, "for Kubernetes "+version)
		}
		add("id", t.ID)
		add("ssmParameter", t.SSMParameter)
		add("name", t.Name)
		add("owner", t.Owner)
		add("tags", said(t.Tags))
		out[i] = fmt.Sprintf("[%d] %s", i, strings.Join(words, " "))
	}
	return strings.Join(out, "; ")
}
