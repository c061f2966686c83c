package aws

import (
	"context"
	"fmt"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A Sweeper is how launch templates are found and deleted.
type Sweeper interface {
	DescribeLaunchTemplates(ctx context.Context, in *ec2.DescribeLaunchTemplatesInput, opts ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error)
	DeleteLaunchTemplate(ctx context.Context, in *ec2.DeleteLaunchTemplateInput, opts ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error)
}

// SweepTemplates deletes the cluster's launch templates that were made before the
// given time and not used since the last sweep. Every image, label and taint
// makes new ones, and an account has room for a few thousand. One that is
// deleted while a launch is about to use it is made again by that launch. Only
// the process that launches may sweep.
func (p *Provider) SweepTemplates(ctx context.Context, api Sweeper, before time.Time) error {
	used := p.used.take()
	pages := ec2.NewDescribeLaunchTemplatesPaginator(api, &ec2.DescribeLaunchTemplatesInput{Filters: []types.Filter{
		{Name: sdk.String("tag:" + v1.TagClusterName), Values: []string{p.Cluster.Name}},
		{Name: sdk.String("tag-key"), Values: []string{v1.TagNodeClass}},
	}})
	var names []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("sweeping launch templates: %w", err)
		}
		for _, t := range page.LaunchTemplates {
			name := sdk.ToString(t.LaunchTemplateName)
			if !used[name] && t.CreateTime != nil && t.CreateTime.Before(before) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		p.templates.forget(name)
		_, err := api.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: sdk.String(name)})
		if err != nil && !isTemplateGone(code(err)) {
			return fmt.Errorf("sweeping launch template %s: %w", name, err)
		}
	}
	return nil
}

// names is a set that is emptied when it is read. The zero value is empty.
type names struct {
	mu  sync.Mutex
	set map[string]bool
}

// add puts a name into the set.
func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set == nil {
		n.set = map[string]bool{}
	}
	n.set[name] = true
}

// take returns what was added since the last take.
func (n *names) take() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	set := n.set
	n.set = nil
	return set
}
