package ec2sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// bootstrap reads user data as an image does, and returns the kubelet that comes
// of it. The error says why none does.
func bootstrap(by Bootstrap, userData []byte, cluster Cluster) (*kubelet, error) {
	if len(userData) == 0 {
		return nil, errors.New("the instance has no user data")
	}
	// Which bootstrap runs is the image's to say and not the user data's: a NodeConfig
	// given to an image without nodeadm does nothing, as in life.
	switch by {
	case Script:
		return cloudInit(userData, cluster)
	case Settings:
		return applySettings(string(userData), cluster)
	case PowerShell:
		return runPowerShell(string(userData), cluster)
	}
	docs, err := nodeConfigs(userData)
	if err != nil {
		return nil, err
	}
	// Whether something is missing shows only when all documents are merged.
	merged := map[string]any{}
	for _, d := range docs {
		mergeNodeConfig(merged, d)
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		return nil, fmt.Errorf("merging NodeConfigs: %w", err)
	}
	var c nodeConfig
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return nil, fmt.Errorf("reading NodeConfig: %w", err)
	}
	return c.kubelet(cluster)
}

// A nodeConfig is a NodeConfig of node.eks.aws/v1alpha1, as far as it matters here.
type nodeConfig struct {
	// Fields that are read by nobody are here so that a misspelled one is found.
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       struct {
		Cluster struct {
			Name                 string `json:"name"`
			Endpoint             string `json:"apiServerEndpoint"`
			CertificateAuthority string `json:"certificateAuthority"`
			CIDR                 string `json:"cidr"`
			EnableOutpost        bool   `json:"enableOutpost"`
			ID                   string `json:"id"`
		} `json:"cluster"`
		Kubelet struct {
			Config map[string]any `json:"config"`
			Flags  []string       `json:"flags"`
		} `json:"kubelet"`
		Instance struct {
			LocalStorage struct {
				Strategy       string   `json:"strategy"`
				MountPath      string   `json:"mountPath"`
				DisabledMounts []string `json:"disabledMounts"`
			} `json:"localStorage"`
			Environment map[string]any `json:"environment"`
			Network     map[string]any `json:"network"`
		} `json:"instance"`
		Containerd   map[string]any  `json:"containerd"`
		FeatureGates map[string]bool `json:"featureGates"`
	} `json:"spec"`
}

// A mimePart is one document of a MIME archive.
type mimePart struct {
	kind string
	body []byte
}

// mimeParts takes a MIME archive apart; there are none if it is not one.
func mimeParts(userData []byte) ([]mimePart, error) {
	// A MIME archive begins like a letter; a document does not, or has no boundary.
	msg, err := mail.ReadMessage(bytes.NewReader(userData))
	var boundary string
	if err == nil {
		kind, args, _ := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		if strings.HasPrefix(kind, "multipart/") {
			boundary = args["boundary"]
		}
	}
	if boundary == "" {
		return nil, nil
	}
	out := []mimePart{}
	parts := multipart.NewReader(msg.Body, boundary)
	for n := 1; ; n++ {
		part, err := parts.NextPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading part %d of the MIME archive: %w", n, err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("reading part %d of the MIME archive: %w", n, err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return nil, fmt.Errorf("reading the type of part %d of the MIME archive: %w", n, err)
		}
		if part.Header.Get("Content-Transfer-Encoding") == "base64" {
			if body, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(body))); err != nil {
				return nil, fmt.Errorf("reading part %d of the MIME archive: %w", n, err)
			}
		}
		out = append(out, mimePart{kind, body})
	}
}

// nodeConfigs finds the NodeConfig documents of user data: it is one, or a MIME
// archive with some among its parts.
func nodeConfigs(userData []byte) ([]map[string]any, error) {
	parts, err := mimeParts(userData)
	if err != nil {
		return nil, err
	}
	if parts == nil {
		d, err := nodeConfigDoc(userData)
		if err != nil {
			return nil, fmt.Errorf("reading user data, which is no MIME archive: %w", err)
		}
		return []map[string]any{d}, nil
	}
	var docs []map[string]any
	for n, p := range parts {
		if p.kind != "application/node.eks.aws" {
			continue // scripts and cloud-config are others' business
		}
		d, err := nodeConfigDoc(p.body)
		if err != nil {
			return nil, fmt.Errorf("reading part %d of the MIME archive: %w", n+1, err)
		}
		docs = append(docs, d)
	}
	if len(docs) == 0 {
		return nil, errors.New("there is no NodeConfig in the user data")
	}
	return docs, nil
}

// nodeConfigDoc reads one document.
func nodeConfigDoc(b []byte) (map[string]any, error) {
	var d map[string]any
	if err := yaml.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	// The words are nodeadm's, whose decoder asks a scheme for the kind.
	if d["apiVersion"] != "node.eks.aws/v1alpha1" || d["kind"] != "NodeConfig" {
		return nil, fmt.Errorf("no kind NodeConfig is registered for version %v, kind %v", d["apiVersion"], d["kind"])
	}
	return d, nil
}

// mergeNodeConfig lays a later document over earlier ones: maps are merged, flags
// appended, all else replaced.
func mergeNodeConfig(into, from map[string]any) {
	for k, v := range from {
		old, have := into[k]
		oldMap, a := old.(map[string]any)
		newMap, b := v.(map[string]any)
		oldList, c := old.([]any)
		newList, d := v.([]any)
		switch {
		case a && b:
			mergeNodeConfig(oldMap, newMap)
		// Flags of all documents reach kubelet, in their order: what comes of one that
		// stands twice is kubelet's to say.
		case have && k == "flags" && c && d:
			into[k] = append(slices.Clone(oldList), newList...)
		default:
			into[k] = v
		}
	}
}

// kubelet checks what nodeadm checks, and configures a kubelet.
func (c *nodeConfig) kubelet(cluster Cluster) (*kubelet, error) {
	x := c.Spec.Cluster
	for _, f := range []struct{ value, missing string }{
		{x.Name, "Name is missing in cluster configuration"},
		{x.Endpoint, "Apiserver endpoint is missing in cluster configuration"},
		{x.CertificateAuthority, "Certificate authority is missing in cluster configuration"},
		{x.CIDR, "CIDR is missing in cluster configuration"},
	} {
		if f.value == "" {
			return nil, errors.New("validating NodeConfig: " + f.missing)
		}
	}
	// Missing fields were the configuration's fault; from here on it is the cluster that
	// does not match.
	k := newKubelet()
	if err := k.cluster(cluster, x.Name, x.Endpoint, x.CertificateAuthority); err != nil {
		return nil, err
	}
	if err := k.serviceCIDR(cluster, x.CIDR); err != nil {
		return nil, err
	}
	// Mount gives each disk a path of its own, and the node no ephemeral storage.
	switch strategy := c.Spec.Instance.LocalStorage.Strategy; strategy {
	case "", "Mount":
	case "RAID0", "RAID10":
		k.raid = true
	default:
		return nil, fmt.Errorf("validating NodeConfig: localStorage strategy %q is not known", strategy)
	}
	if err := k.configure(c.Spec.Kubelet.Config); err != nil {
		return nil, err
	}
	for _, f := range c.Spec.Kubelet.Flags {
		name, value, ok := strings.Cut(f, "=")
		if !ok || !strings.HasPrefix(name, "--") {
			return nil, fmt.Errorf("starting kubelet: %q is not of the form --flag=value", f)
		}
		// systemd takes the quotes off that Karpenter writes around labels.
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if err := k.flag(strings.TrimPrefix(name, "--"), value); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// configure reads the kubelet's own configuration. A field that kubelet does not
// know is a warning to it, one of a wrong type the end.
func (k *kubelet) configure(config map[string]any) error {
	raw, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encoding the kubelet's configuration: %w", err)
	}
	var c kubeletv1beta1.KubeletConfiguration
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("starting kubelet: loading its configuration: %w", err)
	}
	// Decoded twice: the strict pass is for the warning alone.
	var strict kubeletv1beta1.KubeletConfiguration
	if err := yaml.UnmarshalStrict(raw, &strict); err != nil {
		k.warnings = append(k.warnings, "kubelet decodes its configuration leniently: "+err.Error())
	}
	// Reservations are laid over the image's, key by key.
	maps.Copy(k.kubeReserved, c.KubeReserved)
	maps.Copy(k.systemReserved, c.SystemReserved)
	maps.Copy(k.evictionHard, c.EvictionHard)
	k.taints = c.RegisterWithTaints
	if c.MaxPods != 0 {
		k.maxPods = int(c.MaxPods)
	}
	k.podsPerCore = int(c.PodsPerCore)
	k.clusterDNS = c.ClusterDNS
	return nil
}
