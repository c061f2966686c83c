package pricing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Spot fetches spot prices, by zone, from EC2: those of now, or their mean over some time and how far they were from it.
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
	// Deviations is how many standard deviations in Window are added to the mean: so of two prices with one mean the
	// steadier is the lower. It is not negative.
	Deviations float64
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
	prices, deviations := map[cloudprovider.Offering]MicroUSD{}, map[cloudprovider.Offering]MicroUSD{}
	for o, all := range changes {
		mean, deviation := moments(all, now.Add(-s.Window), now)
		prices[o] = min(mean+MicroUSD(math.Round(s.Deviations*float64(deviation))), MaxMicroUSD)
		if s.Window > 0 {
			deviations[o] = deviation
		}
	}
	slices.Sort(skipped)
	source := "EC2 spot price history"
	if s.Window > 0 {
		source += " of " + s.Window.String()
	}
	if s.Deviations > 0 {
		source += fmt.Sprintf(", with %v standard deviations", s.Deviations)
	}
	t := NewTable(s.Region, source, prices)
	t.skipped, t.os, t.deviations = skipped, s.System.label(), deviations
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

// moments returns the mean price from one time to another and the standard deviation from it, of n prices pᵢ that held
// for wᵢ seconds:
//
//	mean = Σ wᵢpᵢ / Σ wᵢ    deviation = √(Σ wᵢ(pᵢ − mean)² / Σ wᵢ)
//
// The second is NIST's (Dataplot Reference Manual, volume 2, WEIGHTED STANDARD DEVIATION) without its factor
// n / (n − 1), which is for samples: here the price of every second is known. If that is no time, the mean is the last price
// and the deviation 0. Of two changes at once the higher counts. What there is no price for at the beginning is left out.
func moments(changes []change, from, to time.Time) (mean, deviation MicroUSD) {
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.price, b.price)) })
	held := make([]int64, len(changes)) // seconds
	sum, seconds := int64(0), int64(0)
	for i, c := range changes {
		begin, end := c.at, to
		if begin.Before(from) {
			begin = from
		}
		if i+1 < len(changes) && changes[i+1].at.Before(to) {
			end = changes[i+1].at
		}
		held[i] = max(0, int64(end.Sub(begin)/time.Second))
		sum += int64(c.price) * held[i] // a million dollars for a week are less than 2^60
		seconds += held[i]
	}
	if seconds == 0 {
		return changes[len(changes)-1].price, 0
	}
	mean = MicroUSD((sum + seconds/2) / seconds)
	squares := 0.0
	for i, c := range changes {
		off := float64(c.price - mean)
		squares += float64(off * off * float64(held[i])) // rounded before it is added: the same on every machine
	}
	return mean, MicroUSD(math.Round(math.Sqrt(squares / float64(seconds))))
}
