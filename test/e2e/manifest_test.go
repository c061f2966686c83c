package e2e

import (
	"strings"
	"testing"
	"text/template"
)

// A class is an EC2NodeClass. Its zero value is one that works.
type class struct {
	Scene string // filled in, as in all manifests
	// Subnets is the tag by whose value subnets are found; the cluster's when empty.
	Subnets string
	// Reservation is the ID of the capacity reservation that is selected; none when empty.
	Reservation string
	// Images are fields of the spec that say which images, in YAML.
	Images string
}

const classManifest = `
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: {{.Scene}}}
spec:
  role: stowage-test-node
  subnetSelectorTerms: [{tags: {karpenter.sh/discovery: {{or .Subnets "stowage-test"}}}}]
  securityGroupSelectorTerms: [{tags: {karpenter.sh/discovery: stowage-test}}]
  {{with .Reservation}}capacityReservationSelectorTerms: [{id: {{.}}}]{{end}}
  {{or .Images "amiSelectorTerms: [{alias: al2023@latest}]"}}
`

// A pool is a NodePool of a scene. By default nothing of it goes by itself, so
// that a scene sees what it caused.
type pool struct {
	Scene string
	Name  string // as poolName makes it
	// Types of instances, separated by commas.
	Types  string
	Weight int
	// Replicas as it is written; one that is not empty makes the pool static.
	Replicas string
	// Limits, Labels, Startup (taints) and Annotations in flow YAML, without the
	// outer brackets.
	Limits, Labels, Startup, Annotations string
	// After is consolidateAfter, Never when empty; Budget is all when empty.
	After, Budget string
	// Payback is that of consolidation, the default when empty; Slack is the share of a new node that plans leave
	// free, none when empty.
	Payback, Slack string
	// Grace is the terminationGracePeriod, none when empty; Expire is expireAfter, Never when empty.
	Grace, Expire string
	// Class is the EC2NodeClass, the scene's when empty.
	Class string
	// Capacity types, separated by commas; on-demand when empty.
	Capacity string
}

const poolManifest = `
apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: {{.Name}}
  annotations:
    stowage.example/scene: {{.Scene}}
    {{with .Payback}}stowage.sh/consolidation-payback: {{.}}{{end}}
    {{with .Slack}}stowage.sh/node-slack: {{.}}{{end}}
spec:
  {{with .Replicas}}replicas: {{.}}{{end}}
  {{with .Weight}}weight: {{.}}{{end}}
  {{with .Limits}}limits: { {{.}} }{{end}}
  disruption: {consolidateAfter: {{or .After "Never"}}, budgets: [{nodes: "{{or .Budget "100%"}}"}]}
  template:
    metadata:
      labels: {stowage.example/scene: {{.Scene}}{{with .Labels}}, {{.}}{{end}}}
      {{with .Annotations}}annotations: { {{.}} }{{end}}
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: {{or .Class .Scene}}}
      taints: [{key: stowage.example/scene, value: {{.Scene}}, effect: NoSchedule}]
      {{with .Startup}}startupTaints: [ {{.}} ]{{end}}
      {{with .Grace}}terminationGracePeriod: {{.}}{{end}}
      expireAfter: {{or .Expire "Never"}}
      requirements:
        - {key: karpenter.sh/capacity-type, operator: In, values: [{{or .Capacity "on-demand"}}]}
        - {key: node.kubernetes.io/instance-type, operator: In, values: [{{.Types}}]}
`

// pods are a Deployment of a scene.
type pods struct {
	Scene string
	Name  string
	Count int
	// CPU and Memory that each asks for; 1 and 1Gi when empty.
	CPU, Memory string
	// Select in flow YAML without the outer brackets: labels of nodes.
	Select string
	// Apart keeps every two of them on different nodes.
	Apart bool
	// Even spreads them over zones.
	Even bool
	// Sandbox is their RuntimeClass; none when empty.
	Sandbox string
	// Undisrupted gives them karpenter.sh/do-not-disrupt.
	Undisrupted bool
}

const podsManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}, namespace: {{.Scene}}}
spec:
  replicas: {{.Count}}
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata:
      labels: {app: {{.Name}}}
      {{if .Undisrupted}}annotations: {karpenter.sh/do-not-disrupt: "true"}{{end}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {stowage.example/scene: {{.Scene}}{{with .Select}}, {{.}}{{end}}}
      tolerations: [{key: stowage.example/scene, value: {{.Scene}}}]
      {{with .Sandbox}}runtimeClassName: {{.}}{{end}}
      {{if .Apart}}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: {{.Name}}}}}
      {{end}}
      {{if .Even}}
      topologySpreadConstraints:
        - {topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: {{.Name}}}}}
      {{end}}
      containers:
        - name: main
          image: registry.example/main
          resources: {requests: {cpu: {{or .CPU "1"}}, memory: {{or .Memory "1Gi"}}}}
`

var manifests = map[string]*template.Template{}

func init() {
	for name, text := range map[string]string{"class": classManifest, "pool": poolManifest, "pods": podsManifest} {
		manifests[name] = template.Must(template.New(name).Parse(text))
	}
}

// render writes a manifest.
func render(t *testing.T, name string, value any) string {
	t.Helper()
	var b strings.Builder
	if err := manifests[name].Execute(&b, value); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
