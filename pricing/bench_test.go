package pricing

import (
	"context"
	"sync"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// BenchmarkRead looks up a price, and takes the table anew for each, as no decision does: while nothing is
// fetched, and while prices are swapped in as fast as can be. Readers never wait: only that the
// next table is made beside them costs anything.
func BenchmarkRead(b *testing.B) {
	t, err := Embedded("us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	var offerings []cloudprovider.Offering
	for o := range t.All() {
		offerings = append(offerings, o)
	}
	for _, name := range []string{"still", "refreshing"} {
		b.Run(name, func(b *testing.B) {
			book := NewBook(t, sourceFunc(func() (*Table, error) { return t, nil }))
			ctx, stop := context.WithCancel(b.Context())
			refreshes := 0
			var writer sync.WaitGroup
			if name == "refreshing" {
				writer.Go(func() {
					for ; ctx.Err() == nil; refreshes++ {
						if err := book.Refresh(ctx, noon); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := book.Table().Price(offerings[i%len(offerings)]); !ok {
					b.Fatal("a price is missing")
				}
				i++
			}
			stop()
			writer.Wait()
			b.ReportMetric(float64(refreshes)/b.Elapsed().Seconds(), "refreshes/s")
		})
	}
}

// BenchmarkBill works out a bill of 300 kinds of machines under five commitments, as is done once for each machine
// to tell what they cost.
func BenchmarkBill(b *testing.B) {
	t, err := Embedded("us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	var uses []Use
	for o, price := range t.All() {
		if o.CapacityType == cloudprovider.OnDemand && len(uses) < 300 {
			uses = append(uses, Use{o, Linux, price, price, 10})
		}
	}
	cs := Commitments{
		{Name: "a", Kind: ComputeSavingsPlan, Amount: 100e6, discount: 270_000}, {Name: "b", Kind: ComputeSavingsPlan, Amount: 100e6, discount: 200_000},
		{Name: "c", Kind: EC2InstanceSavingsPlan, Amount: 100e6, Family: "c5", discount: 400_000}, {Name: "d", Kind: ReservedInstance, Amount: 1000, Family: "c6i"},
		{Name: "e", Kind: ReservedInstance, Amount: 10, InstanceType: "c5.large"},
	}
	biller, n := cs.Biller(uses), counts(uses)
	b.ReportAllocs()
	for b.Loop() {
		biller.Bill(n)
	}
}
