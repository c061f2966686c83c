package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

// A cloud is the AWS side: clients, what they know, and the provider.
type cloud struct {
	region  string
	cluster aws.Cluster
	version *kubeVersion

	ec2 *ec2.Client
	ssm *ssm.Client
	iam *iam.Client

	provider      *aws.Provider
	classes       *aws.Classes
	inventory     *aws.Inventory
	interruptions *aws.Interruptions
	prices        *pricing.Book
	availability  *cloudprovider.Availability

	commitments commitmentSource // nil for none
	told        map[string]bool  // what was said of commitments
}

// newCloud makes the clients from the SDK's own chain of configuration, asks for
// what nodes need to know of the cluster, and fills the inventory.
func newCloud(ctx context.Context, kube *rest.Config, s *settings) (*cloud, error) {
	pace := &aws.Pace{}
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithEC2IMDSRegion(),
		config.WithRetryer(func() sdk.Retryer { return pace }),
		// A call that is never answered must not hold whoever waits for it.
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(time.Minute)))
	if err != nil {
		return nil, fmt.Errorf("configuring AWS: %w", err)
	}
	if cfg.Region == "" {
		return nil, usageError(errors.New("the AWS region is not known: set AWS_REGION"))
	}
	c := &cloud{
		region:       cfg.Region,
		ec2:          ec2.NewFromConfig(cfg),
		ssm:          ssm.NewFromConfig(cfg),
		iam:          iam.NewFromConfig(cfg),
		classes:      &aws.Classes{},
		availability: &cloudprovider.Availability{},
		told:         map[string]bool{},
	}
	c.interruptions = &aws.Interruptions{Queue: s.interruptionQueue, SQS: sqs.NewFromConfig(cfg), EC2: c.ec2}
	if c.version, err = newKubeVersion(ctx, kube, s.clusterVersion); err != nil {
		return nil, err
	}
	known := aws.Cluster{Name: s.clusterName, Endpoint: s.clusterEndpoint, CABundle: s.clusterCA, ServiceCIDR: s.serviceCIDR}
	if c.cluster, err = aws.DescribeCluster(ctx, eks.NewFromConfig(cfg), known); err != nil {
		return nil, err
	}
	if err := c.newPrices(ctx, cfg, s); err != nil {
		return nil, err
	}
	unreadable := func(err error) { log.FromContext(ctx).Error(err, "leaving out an instance type") }
	c.inventory = &aws.Inventory{Region: cfg.Region, API: c.ec2, Unreadable: unreadable}
	if err := c.inventory.Refresh(ctx); err != nil {
		return nil, err
	}
	reserved := s.gate(gateReserved, true)
	if !reserved {
		log.FromContext(ctx).Info("capacity reservations are left alone: the feature gate " + gateReserved + " is off")
	}
	c.provider, err = aws.New(aws.Config{
		Region:           cfg.Region,
		Cluster:          c.cluster,
		EC2:              c.ec2,
		Classes:          c.classes,
		Inventory:        c.inventory,
		Catalog:          aws.CatalogOptions{VMMemoryOverheadPercent: s.memoryOverhead, ReservedENIs: int64(s.reservedENIs)},
		ReservedCapacity: reserved,
		Refused:          func(offerings []cloudprovider.Offering) { c.availability.Mark(time.Now(), offerings...) },
	})
	return c, err
}

// refresh keeps a part of what the cloud told up to date. A failure is logged,
// the old stays, and it is tried again after a minute.
func refresh(what string, every time.Duration, fetch func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			wait := jitter(every)
			if err := fetch(ctx); err != nil && ctx.Err() == nil {
				log.FromContext(ctx).Error(err, "refreshing "+what)
				wait = min(wait, time.Minute)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
	}
}
