package ec2sim

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// release is the newest image release of a NewWorld, and older the one before it.
var (
	release = time.Date(2026, 8, 11, 9, 0, 0, 0, time.UTC)
	older   = release.AddDate(0, -1, 0)
)

// images are those of a NewWorld, for a version of Kubernetes.
func images(version string) []Image {
	var out []Image
	for _, at := range []time.Time{older, release} {
		for _, v := range []struct{ arch, variant string }{
			{"amd64", "standard"}, {"amd64", "nvidia"}, {"amd64", "neuron"}, {"arm64", "standard"}, {"arm64", "nvidia"},
		} {
			out = append(out, al2023(version, v.arch, v.variant, at))
		}
	}
	// One image is out of date, so that a test finds what must be left out.
	for i := range out {
		if out[i].Created.Equal(older) && out[i].Variant == "neuron" {
			out[i].Deprecated = true
		}
	}
	out = append(out, bottlerockets(version)...)
	out = append(out, windows(version)...)
	out = append(out, al2(version)...)
	// Images of the account's own have no nodeadm, so that both ways to bootstrap are
	// there without a test having to build one.
	for _, arch := range []string{"amd64", "arm64"} {
		name := "custom-" + arch
		out = append(out, Image{ID: imageID(name), Name: name, Owner: "self", Arch: arch, Created: release,
			Tags: map[string]string{"Name": "custom"}, Bootstrap: Script, Variant: "standard"})
	}
	return out
}

// al2023 is an EKS-optimized image.
func al2023(version, arch, variant string, at time.Time) Image {
	name := fmt.Sprintf("amazon-eks-node-al2023-%s-%s-%s-v%s", wireArch(arch), variant, version, at.Format("20060102"))
	return Image{
		ID: imageID(name), Name: name, Owner: "amazon", Arch: arch, Created: at, Bootstrap: NodeADM, Variant: variant,
		Parameter: fmt.Sprintf("/aws/service/eks/optimized-ami/%s/amazon-linux-2023/%s/%s/%s/image_id", version, wireArch(arch), variant, name),
	}
}

// bottlerockets are two releases of Bottlerocket.
func bottlerockets(version string) []Image {
	var out []Image
	for _, r := range []struct {
		number string
		at     time.Time
	}{{"1.45.0", older}, {"1.60.0", release}} {
		for _, v := range []struct{ arch, variant, suffix string }{
			{"amd64", "standard", ""}, {"arm64", "standard", ""}, {"amd64", "nvidia", "-nvidia"}, {"arm64", "nvidia", "-nvidia"},
		} {
			name := fmt.Sprintf("bottlerocket-aws-k8s-%s%s-%s-v%s-0a1b2c3d", version, v.suffix, strings.Replace(wireArch(v.arch), "arm64", "aarch64", 1), r.number)
			out = append(out, Image{
				ID: imageID(name), Name: name, Owner: "amazon", Arch: v.arch, Created: r.at, Bootstrap: Settings, Variant: v.variant,
				Parameter: fmt.Sprintf("/aws/service/bottlerocket/aws-k8s-%s%s/%s/%s/image_id", version, v.suffix, wireArch(v.arch), r.number),
			})
		}
	}
	return out
}

// windows are the images of Windows Server that there are for a version; only the
// newest of each have a parameter.
func windows(version string) []Image {
	var out []Image
	for _, w := range []struct {
		year, build string
		since       int
	}{{"2019", "10.0.17763", 0}, {"2022", "10.0.20348", 0}, {"2025", "10.0.26100", 35}} {
		if minor(version) < w.since {
			continue
		}
		name := fmt.Sprintf("Windows_Server-%s-English-Core-EKS_Optimized-%s-%s", w.year, version, release.Format("2006.01.02"))
		out = append(out, Image{
			ID: imageID(name), Name: name, Owner: "amazon", Arch: "amd64", Created: release, Bootstrap: PowerShell, Variant: "standard", WindowsBuild: w.build,
			Parameter: fmt.Sprintf("/aws/service/ami-windows-latest/Windows_Server-%s-English-Core-EKS_Optimized-%s/image_id", w.year, version),
		})
	}
	return out
}

// al2 are the images of Amazon Linux 2, which ended with Kubernetes 1.32.
func al2(version string) []Image {
	var out []Image
	if minor(version) > 32 {
		return nil
	}
	for _, v := range []struct{ arch, variant, folder, name string }{
		{"amd64", "standard", "amazon-linux-2", "amazon-eks-node"}, {"arm64", "standard", "amazon-linux-2-arm64", "amazon-eks-arm64-node"}, {"amd64", "nvidia", "amazon-linux-2-gpu", "amazon-eks-gpu-node"},
	} {
		name := fmt.Sprintf("%s-%s-v%s", v.name, version, release.Format("20060102"))
		out = append(out, Image{
			ID: imageID(name), Name: name, Owner: "amazon", Arch: v.arch, Created: release, Bootstrap: Script, Variant: v.variant,
			Parameter: fmt.Sprintf("/aws/service/eks/optimized-ami/%s/%s/%s/image_id", version, v.folder, name),
		})
	}
	return out
}

// minor is the second number of a version of Kubernetes.
func minor(version string) int {
	_, text, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(text)
	return n
}

// root is the device that an image begins from.
func (m Image) root() string {
	if m.WindowsBuild != "" {
		return "/dev/sda1"
	}
	return rootDevice
}

// podDisk is the device that pods' files are on, and its size in GiB as the image
// comes.
func (m Image) podDisk() (device string, gib int) {
	switch {
	case m.WindowsBuild != "":
		return m.root(), 50
	case m.Bootstrap == Settings:
		return "/dev/xvdb", rootGiB
	}
	return m.root(), rootGiB
}

// imageID makes an ID that stays the same from run to run.
func imageID(name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("ami-0%016x", h.Sum64())
}

// A wireImage is an image as DescribeImages tells it. Its device mapping has one
// entry, flattened into three fields.
type wireImage struct {
	ID           string `xml:"imageId"`
	Name         string `xml:"name"`
	State        string `xml:"imageState"`
	Owner        string `xml:"imageOwnerId"`
	Alias        string `xml:"imageOwnerAlias,omitempty"`
	Arch         string `xml:"architecture"`
	Kind         string `xml:"imageType"`
	Public       bool   `xml:"isPublic"`
	Created      string `xml:"creationDate"`
	Deprecation  string `xml:"deprecationTime,omitempty"`
	RootName     string `xml:"rootDeviceName"`
	RootKind     string `xml:"rootDeviceType"`
	Virtual      string `xml:"virtualizationType"`
	ENA          bool   `xml:"enaSupport"`
	Platform     string `xml:"platform,omitempty"`
	Hypervisor   string `xml:"hypervisor"`
	Tags         []tag  `xml:"tagSet>item"`
	RootDevice   string `xml:"blockDeviceMapping>item>deviceName"`
	RootSnapshot string `xml:"blockDeviceMapping>item>ebs>snapshotId"`
	RootGiB      int    `xml:"blockDeviceMapping>item>ebs>volumeSize"`
}

// rootDevice and rootGiB are the disk that every image comes with.
const (
	rootDevice = "/dev/xvda"
	rootGiB    = 20
)

// amazonAccount is the number behind the owner alias "amazon" for EKS images.
const amazonAccount = "602401143452"

// ownerOf is the number of the account that an image belongs to.
func (s *Server) ownerOf(m Image) string {
	switch m.Owner {
	case "amazon":
		return amazonAccount
	case "self", "":
		return s.opts.Account
	}
	return m.Owner
}

// describeImages tells images by ID, owner and filter. Deprecated ones are left out
// unless they are asked for, by ID or as such.
func (s *Server) describeImages(p params) (any, error) {
	chosen, err := choose(p.list("ImageId"), s.world.Images, func(m Image) string { return m.ID },
		"InvalidAMIID.NotFound", "The image id '[%s]' does not exist")
	if err != nil {
		return nil, err
	}
	if owners := p.list("Owner"); len(owners) > 0 {
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(m Image) bool { return !s.ownedBy(m, owners) })
	}
	chosen, err = filter(p, chosen, fields[Image]{
		"image-id":            one(func(m Image) string { return m.ID }),
		"name":                one(func(m Image) string { return m.Name }),
		"state":               one(func(Image) string { return "available" }),
		"architecture":        one(func(m Image) string { return wireArch(m.Arch) }),
		"owner-id":            one(s.ownerOf),
		"owner-alias":         one(func(m Image) string { return m.Owner }),
		"virtualization-type": one(func(Image) string { return "hvm" }),
		"root-device-type":    one(func(Image) string { return "ebs" }),
		"is-public":           flag(func(m Image) bool { return m.Owner == "amazon" }),
	}, func(m Image) map[string]string { return m.Tags })
	if err != nil {
		return nil, err
	}
	// This is how an image that a NodeClass pins by ID goes on working, and one that it
	// finds by name changes.
	byID, deprecated := len(p.list("ImageId")) > 0, p.boolean("IncludeDeprecated")
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(m Image) bool { return m.Deprecated && !deprecated && !byID })
	chosen, next, err := page(p, chosen, func(m Image) string { return m.ID }, bounds{1, 1000, 1000})
	if err != nil {
		return nil, err
	}
	out := struct {
		Images []wireImage `xml:"imagesSet>item"`
		Next   string      `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, m := range chosen {
		out.Images = append(out.Images, s.wireImage(m))
	}
	return out, nil
}

// ownedBy says whether any of the owners of a request is m's.
func (s *Server) ownedBy(m Image, owners []string) bool {
	return slices.ContainsFunc(owners, func(o string) bool {
		return o == s.ownerOf(m) || o == "amazon" && m.Owner == "amazon" || o == "self" && s.ownerOf(m) == s.opts.Account
	})
}

// wireImage spells an image. Every image is deprecated two years after it was made,
// if not before.
func (s *Server) wireImage(m Image) wireImage {
	w := wireImage{
		ID: m.ID, Name: m.Name, State: "available", Owner: s.ownerOf(m), Arch: wireArch(m.Arch), Kind: "machine",
		Public: m.Owner == "amazon", Created: stamp(m.Created), Deprecation: stamp(m.Created.AddDate(2, 0, 0)),
		RootName: m.root(), RootKind: "ebs", Virtual: "hvm", ENA: true, Hypervisor: "xen", Tags: tagSet(m.Tags),
		RootSnapshot: "snap-" + m.ID[4:], RootDevice: m.root(), RootGiB: rootGiB,
	}
	if m.Owner == "amazon" {
		w.Alias = "amazon"
	}
	if m.WindowsBuild != "" {
		w.Platform = "windows"
	}
	if m.Deprecated {
		w.Deprecation = stamp(m.Created)
	}
	return w
}
