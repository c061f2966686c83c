package v1

import "strings"

// Label returns the key of the label that names a NodeClaim's or node's
// NodeClass: the group and the kind in lower case.
func (r NodeClassReference) Label() string {
	return r.Group + "/" + strings.ToLower(r.Kind)
}
