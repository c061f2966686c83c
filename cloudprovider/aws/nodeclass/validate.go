package nodeclass

import (
	"errors"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// validate says what speaks against launching from a spec, as far as the spec and
// the cluster alone show it. What the API server checks is not checked again.
func validate(cluster aws.Cluster, spec *v1.EC2NodeClassSpec) *verdict {
	if fields := notUnderstood(spec); len(fields) > 0 {
		return verdictf("NotUnderstood", "not understood yet: %s", strings.Join(fields, "; "))
	}
	if strings.Contains(cluster.ServiceCIDR, ":") {
		return verdictf("NotUnderstood", "not understood yet: a cluster with IPv6 services (%s)", cluster.ServiceCIDR)
	}
	if err := aws.CheckNodeClass(spec); err != nil {
		return verdictf(reasonOf(err), "%v", err)
	}
	if err := aws.CheckUserData(cluster, spec); err != nil {
		return verdictf(reasonOf(err), "%v", err)
	}
	return nil
}

// reasonOf is the reason of a condition, as Karpenter calls it where it has one.
func reasonOf(err error) string {
	if _, ok := errors.AsType[*aws.UserDataSizeError](err); ok {
		return "UserDataSizeLimitExceeded"
	}
	field, ok := errors.AsType[*aws.NodeClassError](err)
	switch {
	case !ok, field.Field == "userData":
		return "InvalidUserData"
	case !strings.HasPrefix(field.Field, "kubelet"):
		return "InvalidSpec"
	case field.Unsupported:
		return "UnsupportedKubeletConfiguration"
	}
	return "InvalidKubeletConfiguration"
}

// notUnderstood lists the fields in use that nothing here acts upon.
func notUnderstood(spec *v1.EC2NodeClassSpec) []string {
	var out []string
	refuse := func(used bool, field string) {
		if used {
			out = append(out, "spec."+field)
		}
	}
	if family, _, ok := spec.Alias(); ok {
		// A node of family Custom is taken for one that runs Linux.
		refuse(family.WindowsBuild() != "" && spec.Family() == v1.AMIFamilyCustom, "amiFamily Custom with an alias of family "+string(family))
	}
	return out
}
