package aws

import (
	"strings"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// al2 is a MIME archive of the user's parts and a script of ours that calls the
// image's bootstrap.sh. cloud-init runs them in this order.
func (b bootstrap) al2() (string, error) {
	parts, err := userParts(b.spec.UserData)
	if err != nil {
		return "", badUserData("%w", err)
	}
	flags, err := b.kubeletFlags()
	if err != nil {
		return "", err
	}
	call := []string{"/etc/eks/bootstrap.sh " + shellQuote(b.cluster.Name)}
	option := func(name, value string) { call = append(call, "  --"+name+" "+shellQuote(value)) }
	// bootstrap.sh takes a value as the next word only, not after an equal sign.
	option("apiserver-endpoint", b.cluster.Endpoint)
	option("b64-cluster-ca", b.cluster.CABundle)
	option("container-runtime", "containerd")
	if dns := b.dns(); dns != "" {
		option("dns-cluster-ip", dns)
	}
	if b.maxPods > 0 || b.spec.Kubelet["maxPods"].Raw != nil {
		option("use-max-pods", "false") // it is among kubelet's flags
	}
	if len(flags) > 0 {
		option("kubelet-extra-args", strings.Join(flags, " "))
	}
	if b.spec.InstanceStorePolicy == v1.InstanceStoreRAID0 {
		option("local-disks", "raid0")
	}
	script := "#!/bin/bash\nset -o errexit -o xtrace\n" + strings.Join(call, " \\\n") + "\n"
	return archive(append(parts, part{contentType: shellType, body: script})), nil
}

// shellQuote makes one word of s for a POSIX shell, whatever is in it.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
