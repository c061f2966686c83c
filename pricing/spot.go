package pricing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Spot fetches spot prices, by zone, from EC2: those of now, or their mean over some time.
type Spot struct {
	// Client of EC2 in Region.
	Client ec2.DescribeSpotPriceHistoryAPIClient
	// Region whose prices are wanted.
	Region string
	// System that the machines are sold with.
	System System
	// Window is the time up to now whose mean price is told, each price weighed by how long it held in it;
	// at 0 it is the present price.
	Window time.Duration
	// Now tells the time; the history from now on is the present price.
	Now func() time.Time
}

// Name says what is fetched.
func (s Spot) Name() string { return s.System.named("spot prices") }

// Fetch asks for the prices of all types and zones, page by page.
func (s Spot) Fetch(ctx context.Context) (*Table, error) {
	now := s.Now()
	// EC2 answers with every change since then, and the last one before.
	pages := ec2.NewDescribeSpotPriceHistoryPaginator(s.Client, &ec2.DescribeSpotPriceHistoryInput{
		StartTime:           sdk.Time(now.Add(-s.Window)),
		ProductDescriptions: s.System.products(),
	})
	changes := map[cloudprovider.Offering][]change{}
	var skipped []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing spot prices of %s: %w", s.Region, err)
		}
		for i := range page.SpotPriceHistory {
			o, c, err := readChange(&page.SpotPriceHistory[i])
			if err != nil {
				skipped = append(skipped, fmt.Sprintf("reading the spot price of %s in %s: %v", o.InstanceType, o.Zone, err))
				continue
			}
			changes[o] = append(changes[o], c)
		}
	}
	prices := map[cloudprovider.Offering]MicroUSD{}
	for o, all := range changes {
		prices[o] = mean(all, now.Add(-s.Window), now)
	}
	slices.Sort(skipped)
	source := "EC2 spot price history"
	if s.Window > 0 {
		source += " of " + s.Window.String()
	}
	t := NewTable(s.Region, source, prices)
	t.skipped, t.os = skipped, s.System.label()
	return t, nil
}

// A change is a price and from when on it holds.
type change struct {
	at    time.Time
	price MicroUSD
}

func readChange(h *ec2types.SpotPrice) (cloudprovider.Offering, change, error) {
	o := cloudprovider.Offering{InstanceType: string(h.InstanceType), Zone: sdk.ToString(h.AvailabilityZone), CapacityType: cloudprovider.Spot}
	price, err := ParseMicroUSD(sdk.ToString(h.SpotPrice))
	if err == nil && (o.InstanceType == "" || o.Zone == "") {
		err = errors.New("the instance type or the zone is missing")
	}
	return o, change{sdk.ToTime(h.Timestamp), price}, err
}

// mean is the mean price from one time to another, weighed by how long each held: the last if that is no time, or
// if there is only one. Of two changes at once the higher counts. What there is no price for at the beginning is left out.
func mean(changes []change, from, to time.Time) MicroUSD {
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.price, b.price)) })
	sum, seconds := int64(0), int64(0)
	for i, c := range changes {
		begin, end := c.at, to
		if begin.Before(from) {
			begin = from
		}
		if i+1 < len(changes) && changes[i+1].at.Before(to) {
			end = changes[i+1].at
		}
		if held := int64(end.Sub(begin) / time.Second); held > 0 {
			sum += int64(c.price) * held // a million dollars for a week are less than 2^60
			seconds += held
		}
	}
	if seconds == 0 {
		return changes[len(changes)-1].price
	}
	return MicroUSD((sum + seconds/2) / seconds)
}
