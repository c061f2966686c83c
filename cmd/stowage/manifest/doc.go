// Package manifest reads Kubernetes manifests from files as an API server would
// take them: decoded strictly, defaulted, checked, with workloads expanded to the
// pods that their controllers would make.
//
//	Open ──▶ sources ── Read ──▶ Set ── Set.Expand ──▶ Set with pending pods
//
// It is not an API server: it checks what bears on where pods go and on what may
// be bought, and lets the rest pass. It knows no cluster and no plan.
//
// Its laws: the same objects in any order of files and documents give the same
// Set; an error is one line that names file, line, object and field; nothing is
// dropped without a note.
package manifest
