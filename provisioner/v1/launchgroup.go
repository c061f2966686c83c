package v1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// MaxLaunchGroup is the most NodeClaims that are launched together.
const MaxLaunchGroup = 50

// A LaunchGroup is what AnnotationLaunchGroup says, "id/index/size": the NodeClaim is one of
// size that were made together and are launched alike. The zero value is of a NodeClaim that is launched
// by itself.
type LaunchGroup struct {
	ID          string
	Index, Size int
}

// GroupLaunches writes on NodeClaims that are about to be made, and have their names, which of
// them are launched together: those that nobody could tell from each other when they are launched. Who is with
// whom is decided here and nowhere else, so that another process which carries the launches on forms the
// same groups.
func GroupLaunches(claims []*NodeClaim) {
	var order []string
	alike := map[string][]*NodeClaim{}
	for _, c := range claims {
		delete(c.Annotations, AnnotationLaunchGroup) // the template's say nothing of it
		key := launchKey(c)
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], c)
	}
	for _, key := range order {
		for group := range slices.Chunk(alike[key], MaxLaunchGroup) {
			if len(group) == 1 {
				continue
			}
			id := groupID(group)
			for index, c := range group {
				if c.Annotations == nil {
					c.Annotations = map[string]string{}
				}
				c.Annotations[AnnotationLaunchGroup] = fmt.Sprintf("%s/%d/%d", id, index, len(group))
			}
		}
	}
}

// launchKey is the same for NodeClaims of which a launch is the same but for their names. Where the
// offerings are decided on, how much is asked for is in them already.
func launchKey(c *NodeClaim) string {
	_, decided := c.Annotations[AnnotationOfferings]
	asked := []string{}
	for name, q := range c.Spec.Resources.Requests {
		if !decided {
			asked = append(asked, string(name)+" "+q.String())
		} else if strings.Contains(string(name), "/") && !q.IsZero() {
			asked = append(asked, string(name))
		}
	}
	slices.Sort(asked)
	data, err := json.Marshal(struct {
		Labels            map[string]string
		Offerings, Ranked string
		Class             NodeClassReference
		Requirements      []Requirement
		Taints, Startup   []corev1.Taint
		Asked             []string
	}{
		c.Labels, c.Annotations[AnnotationOfferings], c.Annotations[AnnotationPriceOverlay],
		c.Spec.NodeClassRef, c.Spec.Requirements, c.Spec.Taints, c.Spec.StartupTaints, asked,
	})
	if err != nil {
		panic(err) // strings and integers only
	}
	return string(data)
}

// groupID follows from the names of the members, of which there are no two alike.
func groupID(group []*NodeClaim) string {
	hash := sha256.New()
	for _, c := range group {
		fmt.Fprintln(hash, c.Name)
	}
	return hex.EncodeToString(hash.Sum(nil)[:10])
}

// LaunchGroupOf reads AnnotationLaunchGroup. What cannot be read is as if it were not there: the
// NodeClaim is launched by itself.
func LaunchGroupOf(c *NodeClaim) LaunchGroup {
	parts := strings.Split(c.Annotations[AnnotationLaunchGroup], "/")
	if len(parts) != 3 || parts[0] == "" {
		return LaunchGroup{}
	}
	index, err1 := strconv.Atoi(parts[1])
	size, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil || index < 0 || index >= size || size > MaxLaunchGroup {
		return LaunchGroup{}
	}
	return LaunchGroup{parts[0], index, size}
}
