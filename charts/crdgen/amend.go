package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

const (
	qualifiedName = `^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`
	labelValue    = `^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
	mayBeEmpty    = `^([A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?|)$`
)

// A schema is one node of a CRD's schema, decoded.
type schema = map[string]any

// An amendment changes the schema at a path of the CRD of one kind. Paths are
// written as in charts/testdata/crds.golden: [] stands for the items of a list,
// {} for the values of a map.
type amendment struct {
	kind, path string
	edit       func(schema)
}

// amendments are what the Go types cannot say, in the order in which they are
// made.
var amendments = slices.Concat(
	taints("NodePool", "spec.template.spec.taints[]"),
	taints("NodePool", "spec.template.spec.startupTaints[]"),
	taints("NodeClaim", "spec.taints[]"),
	taints("NodeClaim", "spec.startupTaints[]"),
	[]amendment{
		// A NodePool's name is a requirement of every NodeClaim it makes, but not
		// one that a NodePool may state; the two share the Go type.
		{"NodePool", "spec.template.spec.requirements[].key", addRule(1, `label "karpenter.sh/nodepool" is restricted`, `self != "karpenter.sh/nodepool"`)},

		{"NodePool", "spec.template.metadata.labels", addRule(3, awsMessage, "self.all(x, "+awsRule("x")+")")},
		{"NodePool", "spec.template.metadata.labels{}", set(schema{"maxLength": 63, "pattern": labelValue})},
		{"NodePool", "spec.template.spec.requirements[].key", addRule(3, awsMessage, awsRule("self"))},
		{"NodeClaim", "spec.requirements[].key", addRule(2, awsMessage, awsRule("self"))},

		// These stand on the list, as in the API that this one is compatible with,
		// and so the API server passes over them. On the items they would refuse
		// manifests that are in use; NodePool.Validate names such values instead.
		{"NodePool", "spec.template.spec.requirements[].values", set(schema{"maxLength": 63, "pattern": labelValue})},
		{"NodeClaim", "spec.requirements[].values", set(schema{"maxLength": 63, "pattern": labelValue})},
		{"NodeOverlay", "spec.requirements[].values", set(schema{"maxLength": 63, "pattern": labelValue})},

		// Conditions of NodeClaims may lack reason and message, as some that
		// Karpenter has written do.
		{"NodeClaim", "status.conditions[]", set(schema{"required": []any{"lastTransitionTime", "status", "type"}})},
		{"NodeClaim", "status.conditions[].reason", func(s schema) { delete(s, "minLength"); s["pattern"] = mayBeEmpty }},
	},
)

// taints are the amendments of a taint, whose type is Kubernetes' own.
func taints(kind, path string) []amendment {
	return []amendment{
		{kind, path + ".key", set(schema{"minLength": 1, "pattern": qualifiedName})},
		{kind, path + ".value", set(schema{"pattern": qualifiedName})},
		{kind, path + ".effect", set(schema{"enum": []any{"NoSchedule", "PreferNoSchedule", "NoExecute"}})},
	}
}

var awsMessage = fmt.Sprintf("label domain %q is restricted", awsv1.Group)

// awsRule allows, of the labels in the AWS domain, those that nodes have. The
// label is what the CEL variable holds.
func awsRule(variable string) string {
	allowed := strings.Join(awsv1.WellKnownLabels, `", "`)
	return fmt.Sprintf(`%[1]s in ["%[2]s"] || !%[1]s.find("^([^/]+)").endsWith("%[3]s")`, variable, allowed, awsv1.Group)
}

// set sets keywords of a schema.
func set(keywords schema) func(schema) {
	return func(s schema) { maps.Copy(s, keywords) }
}

// addRule puts a CEL rule at a position among those that a schema has.
func addRule(position int, message, cel string) func(schema) {
	const keyword = "x-kubernetes-validations"
	return func(s schema) {
		rules, _ := s[keyword].([]any)
		s[keyword] = slices.Insert(rules, position, any(schema{"message": message, "rule": cel}))
	}
}

// amend makes the amendments of a CRD's kind.
func amend(crd schema) error {
	spec, _ := crd["spec"].(schema)
	names, _ := spec["names"].(schema)
	versions, _ := spec["versions"].([]any)
	for _, a := range amendments {
		if a.kind != names["kind"] {
			continue
		}
		for _, version := range versions {
			version, _ := version.(schema)
			validation, _ := version["schema"].(schema)
			root, _ := validation["openAPIV3Schema"].(schema)
			found, err := find(root, a.path)
			if err != nil {
				return err
			}
			a.edit(found)
		}
	}
	return nil
}

// find returns the schema at a path. That there is none is an error: the types
// have changed under an amendment.
func find(s schema, path string) (schema, error) {
	steps := strings.Split(strings.NewReplacer("[]", ".[]", "{}", ".{}").Replace(path), ".")
	for _, step := range steps {
		switch step {
		case "[]":
			s, _ = s["items"].(schema)
		case "{}":
			s, _ = s["additionalProperties"].(schema)
		default:
			properties, _ := s["properties"].(schema)
			s, _ = properties[step].(schema)
		}
		if s == nil {
			return nil, fmt.Errorf("finding %s: nothing at %s", path, step)
		}
	}
	return s, nil
}
