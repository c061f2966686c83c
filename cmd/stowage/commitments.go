package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/savingsplans"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
)

// commitmentsUsage explains commitments.
const commitmentsUsage = "Savings Plans and Reserved Instances, which are filled first: a YAML `file`, or \"account\" for those of the AWS account; see docs/commitments.md; default: none"

// ofAccount is the value of commitments that is no file.
const ofAccount = "account"

// patience is how long the start waits for the account's commitments: without them it is no worse than
// without the flag, and they are asked for again.
const patience = 30 * time.Second

// A commitmentSource says what is committed.
type commitmentSource func(ctx context.Context, now time.Time) (*pricing.Reading, error)

// newCommitmentSource returns the source that a value of --commitments names. Of the account it asks in the region.
func newCommitmentSource(value, region string, cfg sdk.Config) commitmentSource {
	if value == ofAccount {
		return pricing.Account{EC2: ec2.NewFromConfig(cfg), SavingsPlans: savingsplans.NewFromConfig(cfg), Region: region}.Read
	}
	return func(_ context.Context, now time.Time) (*pricing.Reading, error) {
		return readFile(value, func(file *os.File) (*pricing.Reading, error) {
			return pricing.ReadCommitments(file, value, region, now)
		})
	}
}

// commitmentsInterval is the time between two looks: a ConfigMap's file on a node changes within about a
// minute, and what an account has bought some times a year.
func commitmentsInterval(value string) time.Duration {
	if value == ofAccount {
		return time.Hour
	}
	return time.Minute
}

// openCommitments reads what is committed for the first time. A file must be there; an account that does
// not answer is asked again later.
func (c *cloud) openCommitments(ctx context.Context, cfg sdk.Config, value string) error {
	if value == "" {
		return nil
	}
	c.commitments = newCommitmentSource(value, c.region, cfg)
	limited, stop := context.WithTimeout(ctx, patience)
	defer stop()
	err := c.readCommitments(limited)
	if err != nil && value != ofAccount {
		return usageError(err)
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "reading the account's commitments: nothing counts as committed until they are read")
	}
	return nil
}

// readCommitments reads anew what is committed. On an error the old stays, as long as it has not ended. What of
// it is of no use is said once.
func (c *cloud) readCommitments(ctx context.Context) error {
	now := time.Now()
	read, err := c.commitments(ctx, now)
	if err != nil {
		return err
	}
	c.prices.Commit(read.Commitments, now)
	lines := read.LeftOut
	if _, fetched := c.prices.Table().AsOf(cloudprovider.OnDemand); fetched { // the table in the binary may not know the newest types
		lines = useless(read, c.prices.Table())
	}
	for _, line := range lines {
		if !c.told[line] {
			c.told[line] = true
			log.FromContext(ctx).Info("a commitment does not count: " + line)
		}
	}
	return nil
}

// useless says of each commitment that no machine can use why, a line each.
func useless(read *pricing.Reading, prices *pricing.Table) []string {
	return slices.Concat(read.LeftOut, read.Commitments.Unmatched(prices))
}

// commit adds what is committed to the market of a plan, and notes what of it is of no use.
func (f *planFlags) commit(ctx context.Context, prices *pricing.Table, now time.Time) (*pricing.Table, error) {
	var cfg sdk.Config
	if f.committed == ofAccount {
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(f.region)); err != nil {
			return nil, err
		}
	}
	read, err := newCommitmentSource(f.committed, f.region, cfg)(ctx, now)
	if err != nil && f.committed == ofAccount {
		err = fmt.Errorf("reading the account's commitments: %w", err)
	}
	if err != nil {
		return nil, err
	}
	for _, line := range useless(read, prices) {
		f.notes = append(f.notes, "a commitment does not count: "+line)
	}
	return prices.WithCommitments(read.Commitments), nil
}
