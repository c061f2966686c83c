package aws

import (
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"strings"

	"github.com/pelletier/go-toml/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// takesCapacity are the settings of kubelet that a user can make in user data, too,
// and that leave less of a node for pods.
var takesCapacity = []string{"kubeReserved", "systemReserved", "evictionHard", "podsPerCore"}

// kubeletOfClass reads what a NodeClass says of kubelet: in spec.kubelet, and below
// that in spec.userData. What scripts do is not seen.
func kubeletOfClass(spec *v1.EC2NodeClassSpec) (kubelet, error) {
	said, err := parseKubelet(spec.Kubelet)
	if err != nil {
		return kubelet{}, err
	}
	own := kubeletInUserData(spec)
	if len(own) == 0 {
		return said, nil
	}
	merged := map[string]apiextensionsv1.JSON{}
	maps.Copy(merged, spec.Kubelet)
	for key, value := range own {
		if over, ok := merged[key]; ok {
			// nodeadm merges maps, and on Bottlerocket ours is put in place of the user's.
			fields, isMap := value.(map[string]any)
			if spec.Family() != v1.AMIFamilyAL2023 || !isMap || json.Unmarshal(over.Raw, &fields) != nil {
				continue
			}
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return kubelet{}, badField("userData", "kubelet's %s in it: %v", key, err)
		}
		merged[key] = apiextensionsv1.JSON{Raw: raw}
	}
	out, err := parseKubelet(merged)
	if wrong, ok := errors.AsType[*NodeClassError](err); ok {
		return kubelet{}, badField("userData", "kubelet's %s in it %s", strings.TrimPrefix(wrong.Field, "kubelet."), wrong.Problem)
	}
	return out, err
}

// kubeletInUserData finds the settings in user data. There are none in one that cannot
// be read: what is wrong with it is CheckUserData's to say.
func kubeletInUserData(spec *v1.EC2NodeClassSpec) map[string]any {
	found := map[string]any{}
	take := func(config map[string]any, nameOf func(key string) string) {
		for _, key := range takesCapacity {
			value := config[nameOf(key)]
			was, merges := found[key].(map[string]any) // as nodeadm merges one part over the other
			if more, ok := value.(map[string]any); ok && merges {
				maps.Copy(was, more)
			} else if value != nil {
				found[key] = value
			}
		}
	}
	switch spec.Family() {
	case v1.AMIFamilyBottlerocket:
		var d struct {
			Settings struct{ Kubernetes map[string]any }
		}
		if toml.Unmarshal([]byte(spec.UserData), &d) == nil {
			take(d.Settings.Kubernetes, func(key string) string { return bottlerocketSettings[key].name })
		}
	case v1.AMIFamilyAL2023:
		parts, _ := userParts(spec.UserData)
		for _, p := range parts {
			var d struct {
				Spec struct {
					Kubelet struct{ Config map[string]any }
				}
			}
			media, _, _ := mime.ParseMediaType(p.contentType)
			if media == nodeConfigType && yaml.Unmarshal([]byte(p.text()), &d) == nil {
				take(d.Spec.Kubelet.Config, func(key string) string { return key })
			}
		}
	}
	return found
}
