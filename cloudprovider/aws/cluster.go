package aws

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
)

// A Cluster is what a node has to know to join, and what our instances are
// tagged with. It never changes; the version of Kubernetes, which does, is not
// part of it.
type Cluster struct {
	// Name of the cluster, in tags and in user data.
	Name string
	// Endpoint of the API server: https://…
	Endpoint string
	// CABundle is the API server's certificate authority: PEM, in base64.
	CABundle string
	// ServiceCIDR is the range of service addresses; nodes derive the address of
	// the cluster's DNS from it.
	ServiceCIDR string
}

// Validate names the first fact that is missing.
func (c Cluster) Validate() error {
	for _, f := range []struct{ name, value string }{
		{"name", c.Name}, {"endpoint", c.Endpoint}, {"CA bundle", c.CABundle}, {"service CIDR", c.ServiceCIDR},
	} {
		if f.value == "" {
			return fmt.Errorf("cluster %q: its %s is not known", c.Name, f.name)
		}
	}
	return nil
}

// EKS is what DescribeCluster needs of the EKS API.
type EKS interface {
	DescribeCluster(ctx context.Context, in *eks.DescribeClusterInput, opts ...func(*eks.Options)) (*eks.DescribeClusterOutput, error)
}

// DescribeCluster fills in the fields of known that are empty by asking EKS for
// the cluster known.Name. It asks nothing if all are there.
func DescribeCluster(ctx context.Context, api EKS, known Cluster) (Cluster, error) {
	if known.Validate() == nil {
		return known, nil
	}
	out, err := api.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: sdk.String(known.Name)})
	if err != nil {
		return Cluster{}, fmt.Errorf("describing cluster %q: %w", known.Name, err)
	}
	if out.Cluster == nil {
		return Cluster{}, fmt.Errorf("describing cluster %q: the answer holds none", known.Name)
	}
	c := out.Cluster
	fill := func(field *string, value *string) {
		if *field == "" {
			*field = sdk.ToString(value)
		}
	}
	fill(&known.Endpoint, c.Endpoint)
	if c.CertificateAuthority != nil {
		fill(&known.CABundle, c.CertificateAuthority.Data)
	}
	if n := c.KubernetesNetworkConfig; n != nil {
		fill(&known.ServiceCIDR, n.ServiceIpv4Cidr)
		fill(&known.ServiceCIDR, n.ServiceIpv6Cidr)
	}
	return known, known.Validate()
}
