package v1

import "strings"

// AMIFamily says what kind of system an image holds, and so how its user data is
// written.
// +kubebuilder:validation:Enum:={AL2,AL2023,Bottlerocket,Custom,Windows2019,Windows2022,Windows2025}
type AMIFamily string

// The families of images. Custom takes user data as it is.
const (
	AMIFamilyAL2          AMIFamily = "AL2"
	AMIFamilyAL2023       AMIFamily = "AL2023"
	AMIFamilyBottlerocket AMIFamily = "Bottlerocket"
	AMIFamilyCustom       AMIFamily = "Custom"
	AMIFamilyWindows2019  AMIFamily = "Windows2019"
	AMIFamilyWindows2022  AMIFamily = "Windows2022"
	AMIFamilyWindows2025  AMIFamily = "Windows2025"
)

var familyByAlias = map[string]AMIFamily{
	"al2":          AMIFamilyAL2,
	"al2023":       AMIFamilyAL2023,
	"bottlerocket": AMIFamilyBottlerocket,
	"windows2019":  AMIFamilyWindows2019,
	"windows2022":  AMIFamilyWindows2022,
	"windows2025":  AMIFamilyWindows2025,
}

// Alias is the alias that the images are found by: its family and the version
// after the @. ok is false if they are found in another way.
func (s *EC2NodeClassSpec) Alias() (family AMIFamily, version string, ok bool) {
	for _, term := range s.AMISelectorTerms {
		if name, version, found := strings.Cut(term.Alias, "@"); found {
			family, ok := familyByAlias[name]
			return family, version, ok
		}
	}
	return "", "", false
}

// Family is the family that user data is written for: AMIFamily, or the alias's
// if that is unset. Empty if there is neither, which the API refuses.
func (s *EC2NodeClassSpec) Family() AMIFamily {
	if s.AMIFamily != "" {
		return s.AMIFamily
	}
	family, _, _ := s.Alias()
	return family
}

// windowsBuilds are the builds of Windows Server by family.
var windowsBuilds = map[AMIFamily]string{
	AMIFamilyWindows2019: "10.0.17763",
	AMIFamilyWindows2022: "10.0.20348",
	AMIFamilyWindows2025: "10.0.26100",
}

// WindowsBuild is the value of node.kubernetes.io/windows-build on nodes of f;
// empty for nodes that run Linux.
func (f AMIFamily) WindowsBuild() string { return windowsBuilds[f] }
