package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// StatusAPI is what Interruptions ask EC2.
type StatusAPI interface {
	DescribeInstanceStatus(ctx context.Context, in *ec2.DescribeInstanceStatusInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstanceStatusOutput, error)
}

// impairedFor is how long a status check has to have failed before it counts: it may recover.
const impairedFor = 2 * time.Minute

// Ask asks EC2 which of the region's instances fail their status checks, or have maintenance ahead
// of them. It asks for these alone, so the answer is short however many instances there are. On an
// error what was found last stays.
func (i *Interruptions) Ask(ctx context.Context, now time.Time) error {
	var codes []string
	for _, c := range types.EventCode("").Values() {
		codes = append(codes, string(c))
	}
	failing := []string{string(types.SummaryStatusImpaired)}
	found := map[string]types.InstanceStatus{} // one may be found for several reasons
	for _, filter := range []types.Filter{
		{Name: sdk.String("instance-status.status"), Values: failing},
		{Name: sdk.String("system-status.status"), Values: failing},
		{Name: sdk.String("event.code"), Values: codes},
	} {
		pages := ec2.NewDescribeInstanceStatusPaginator(i.EC2, &ec2.DescribeInstanceStatusInput{MaxResults: sdk.Int32(1000), Filters: []types.Filter{filter}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("asking for the status of instances: %w", err)
			}
			for _, s := range page.InstanceStatuses {
				found[sdk.ToString(s.InstanceId)] = s
			}
		}
	}
	var ailing []cloudprovider.Notice
	for _, s := range found {
		ailing = append(ailing, statusNotices(now, s)...)
	}
	slices.SortFunc(ailing, func(a, b cloudprovider.Notice) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Kind, b.Kind), a.At.Compare(b.At))
	})
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ailing = ailing
	return nil
}

// statusNotices returns what follows from the status of an instance.
func statusNotices(now time.Time, s types.InstanceStatus) []cloudprovider.Notice {
	n := cloudprovider.Notice{Instance: sdk.ToString(s.InstanceId), Urge: cloudprovider.Force}
	var all []cloudprovider.Notice
	if impaired(now, s.InstanceStatus) {
		n.Kind = cloudprovider.InstanceStatus
		all = append(all, n)
	}
	if impaired(now, s.SystemStatus) {
		n.Kind = cloudprovider.SystemStatus
		all = append(all, n)
	}
	for _, e := range s.Events {
		// EC2 tells of events for a week after they are over, and writes that before the text.
		text := sdk.ToString(e.Description)
		if strings.HasPrefix(text, "[Completed]") || strings.HasPrefix(text, "[Canceled]") {
			continue
		}
		all = append(all, cloudprovider.Notice{Kind: cloudprovider.EventStatus, Instance: n.Instance, Urge: cloudprovider.Drain, At: sdk.ToTime(e.NotBefore)})
	}
	return all
}

// impaired reports whether a check has failed for long. Of one of which EC2 does not say since when,
// that is not known.
func impaired(now time.Time, s *types.InstanceStatusSummary) bool {
	if s == nil || s.Status != types.SummaryStatusImpaired {
		return false
	}
	return slices.ContainsFunc(s.Details, func(d types.InstanceStatusDetails) bool {
		return d.ImpairedSince != nil && now.Sub(*d.ImpairedSince) >= impairedFor
	})
}
