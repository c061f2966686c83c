package nodeclass

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A parameter of SSM names an image, and variants are the kinds of instance types that
// the image is for.
type parameter struct {
	name     string
	variants []variant
}

// A variant is what an instance type must be like, besides its architecture.
type variant []corev1.NodeSelectorRequirement

// The builds of the images for Linux.
var (
	standard = variant{
		{Key: v1.LabelInstanceAcceleratorCount, Operator: corev1.NodeSelectorOpDoesNotExist},
		{Key: v1.LabelInstanceGPUCount, Operator: corev1.NodeSelectorOpDoesNotExist},
	}
	nvidia = variant{{Key: v1.LabelInstanceGPUCount, Operator: corev1.NodeSelectorOpExists}}
	neuron = variant{{Key: v1.LabelInstanceAcceleratorCount, Operator: corev1.NodeSelectorOpExists}}
)

// parametersOf lists where AWS publishes the images of a family for a version of
// Kubernetes: the newest ones for the release "latest" (Amazon EKS User Guide,
// "Retrieve recommended … AMI IDs"; Bottlerocket, "Finding an AMI").
func parametersOf(family v1.AMIFamily, version, release string) []parameter {
	eks := func(folder, image string, variants ...variant) parameter {
		if release == "latest" {
			image = "recommended"
		} else {
			image += "-" + version + "-" + release
		}
		return parameter{"/aws/service/eks/optimized-ami/" + version + "/" + folder + "/" + image + "/image_id", variants}
	}
	bottlerocket := func(build, arch string, variants ...variant) parameter {
		// Releases are called v1.2.3 everywhere but here.
		return parameter{fmt.Sprintf("/aws/service/bottlerocket/aws-k8s-%s%s/%s/%s/image_id", version, build, arch, strings.TrimPrefix(release, "v")), variants}
	}
	switch family {
	case v1.AMIFamilyAL2:
		return []parameter{
			eks("amazon-linux-2", "amazon-eks-node", standard),
			eks("amazon-linux-2-arm64", "amazon-eks-arm64-node", standard),
			eks("amazon-linux-2-gpu", "amazon-eks-gpu-node", nvidia, neuron),
		}
	case v1.AMIFamilyAL2023:
		return []parameter{
			eks("amazon-linux-2023/x86_64/standard", "amazon-eks-node-al2023-x86_64-standard", standard),
			eks("amazon-linux-2023/arm64/standard", "amazon-eks-node-al2023-arm64-standard", standard),
			eks("amazon-linux-2023/x86_64/nvidia", "amazon-eks-node-al2023-x86_64-nvidia", nvidia),
			eks("amazon-linux-2023/arm64/nvidia", "amazon-eks-node-al2023-arm64-nvidia", nvidia),
			eks("amazon-linux-2023/x86_64/neuron", "amazon-eks-node-al2023-x86_64-neuron", neuron),
		}
	case v1.AMIFamilyBottlerocket:
		return []parameter{
			bottlerocket("", "x86_64", standard, neuron),
			bottlerocket("", "arm64", standard),
			bottlerocket("-nvidia", "x86_64", nvidia),
			bottlerocket("-nvidia", "arm64", nvidia),
		}
	case v1.AMIFamilyWindows2019, v1.AMIFamilyWindows2022, v1.AMIFamilyWindows2025:
		year := strings.TrimPrefix(string(family), "Windows")
		return []parameter{{fmt.Sprintf("/aws/service/ami-windows-latest/Windows_Server-%s-English-Core-EKS_Optimized-%s/image_id", year, version), []variant{{
			{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: []string{string(corev1.Windows)}},
			{Key: corev1.LabelWindowsBuild, Operator: corev1.NodeSelectorOpIn, Values: []string{family.WindowsBuild()}},
		}}}}
	}
	return nil
}

// UnsupportedAlias says why there are no images of a spec's alias for a version of Kubernetes, as 1.36: what the condition of reason
// UnsupportedAlias says; "" if there are, or there is no alias. Where it depends on the version and that is not
// understood, it is not known.
func UnsupportedAlias(spec *v1.EC2NodeClassSpec, version string) (why string, known bool) {
	family, _, _ := spec.Alias()
	if family != v1.AMIFamilyAL2 && family != v1.AMIFamilyWindows2025 {
		return "", true
	}
	_, text, _ := strings.Cut(version, ".")
	minor, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return "", false
	case family == v1.AMIFamilyAL2 && minor > 32:
		why = "there are images of Amazon Linux 2 up to Kubernetes 1.32, and the cluster has " + version + "; use al2023 or bottlerocket"
	case family == v1.AMIFamilyWindows2025 && minor < 35:
		why = "there are images of Windows Server 2025 from Kubernetes 1.35 on, and the cluster has " + version
	default:
		return "", true
	}
	return fmt.Sprintf("spec.amiSelectorTerms[0].alias %s: %s", spec.AMISelectorTerms[0].Alias, why), true
}
