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
		reason := "InvalidSpec"
		if field, ok := errors.AsType[*aws.NodeClassError](err); ok && strings.HasPrefix(field.Field, "kubelet") {
			reason = "InvalidKubeletConfiguration"
		}
		return verdictf(reason, "%v", err)
	}
	if err := aws.CheckUserData(cluster, spec); err != nil {
		return verdictf("InvalidUserData", "%v", err)
	}
	return nil
}

// notUnderstood lists the fields in use that nothing here acts upon.
func notUnderstood(spec *v1.EC2NodeClassSpec) []string {
	var out []string
	refuse := func(used bool, field string) {
		if used {
			out = append(out, "spec."+field)
		}
	}
	refuse(spec.Family() != v1.AMIFamilyAL2023 && spec.Family() != v1.AMIFamilyCustom, "amiFamily "+string(spec.Family()))
	if family, _, ok := spec.Alias(); ok {
		refuse(family != v1.AMIFamilyAL2023 && family != spec.Family(), "amiSelectorTerms[].alias of family "+string(family))
	}
	return out
}
