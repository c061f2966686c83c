package aws

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// EC2 is what the provider calls to launch, list, tag and terminate.
type EC2 interface {
	CreateFleet(ctx context.Context, in *ec2.CreateFleetInput, opts ...func(*ec2.Options)) (*ec2.CreateFleetOutput, error)
	CreateLaunchTemplate(ctx context.Context, in *ec2.CreateLaunchTemplateInput, opts ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateOutput, error)
	DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	TerminateInstances(ctx context.Context, in *ec2.TerminateInstancesInput, opts ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error)
	CreateTags(ctx context.Context, in *ec2.CreateTagsInput, opts ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
}

// Config says what a Provider works with. All fields but ReservedCapacity, Refused and Meter
// are needed.
type Config struct {
	// Region of EC2.
	Region string
	// Cluster that the instances join.
	Cluster Cluster
	// EC2 is the client.
	EC2 EC2
	// Classes that instances are launched from; the nodeclass controller fills it.
	Classes *Classes
	// Inventory of instance types; somebody has to refresh it.
	Inventory *Inventory
	// Catalog says what the controller's flags say about every catalog. Region,
	// NodeClass and Zones are filled in here.
	Catalog CatalogOptions
	// ReservedCapacity says that machines are taken from reservations where a class names
	// some, and that others keep out of those which are open to all.
	ReservedCapacity bool
	// Refused is told of offerings that ran out where no InsufficientCapacityError
	// says so: the launch got another one, or failed for another reason. It may be
	// nil. It is called by many goroutines.
	Refused func([]cloudprovider.Offering)
	// Meter counts failures and batches, and measures user data; nil for none. It is set before the first call.
	Meter Meter
}

// Validate names the first field that is missing.
func (c Config) Validate() error {
	switch {
	case c.Region == "":
		return errors.New("configuring the EC2 provider: the region is not known")
	case c.EC2 == nil || c.Classes == nil || c.Inventory == nil:
		return errors.New("configuring the EC2 provider: client, classes and inventory are needed")
	}
	if err := c.Cluster.Validate(); err != nil {
		return fmt.Errorf("configuring the EC2 provider: %w", err)
	}
	return nil
}

// A Provider is EC2 in one region, for one cluster. It is a
// cloudprovider.Provider, safe for many goroutines at once.
type Provider struct {
	Config

	attempts attempts
	joints   joints
	// joining has an entry while a group of claims is launched: who comes meanwhile waits for it.
	joining   memo[string, share]
	addresses ledger
	reserved  reservationLog
	// templates that exist, by name.
	templates memo[string, struct{}]
	// used are the names of templates asked for since the last sweep.
	used names
	// catalogs of the present inventory and classes.
	catalogs memo[catalogKey, *cloudprovider.Catalog]
	// earlier has one entry: the instances that were there when this process
	// launched for the first time.
	earlier memo[struct{}, earlier]
	// sightings of the memory that nodes have.
	sightings sightings
	// terminations waiting to go out together.
	terminations coalescer
}

var _ cloudprovider.Provider = (*Provider)(nil)

// New returns a provider. It makes no call.
func New(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := &Provider{Config: c}
	p.terminations.run, p.terminations.max = p.terminate, 500
	p.terminations.begin = func(size int) func() { return p.meter().Batch(batchTerminate, size) }
	return p, nil
}
