package sim_test

import (
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

func (d *day) debug(verb string, obj client.Object) {
	if os.Getenv("DBG") == "" {
		return
	}
	at := d.Now.Sub(sim.Start)
	if c, ok := obj.(*v1.NodeClaim); ok {
		off := ""
		for _, m := range d.Cloud.Machines() {
			if m.Claim == c.Name {
				off = m.Offering.String()
			}
		}
		if verb == "create" {
			fmt.Println(at, "CREATE", c.Name, c.Annotations[v1.AnnotationOfferings])
		}
		if verb == "patchStatus" {
			old, _ := sim.Get[*v1.NodeClaim](d.API, "", c.Name)
			was, is := v1.GetCondition(old.Status.Conditions, v1.ConditionDisruptionReason), v1.GetCondition(c.Status.Conditions, v1.ConditionDisruptionReason)
			if (was == nil) != (is == nil) {
				if is == nil {
					fmt.Println(at, "ROLLBACK", c.Name, off, was.Reason)
				} else {
					var pods []string
					s := d.proc.Cluster.Snapshot()
					n, _ := s.NodeOf(old)
					if n != nil {
						for _, p := range s.PodsOn(n.Name) {
							pods = append(pods, p.Labels["app"])
						}
					}
					fmt.Println(at, "CHOOSE", c.Name, off, is.Reason, is.Message, pods)
				}
			}
		}
		if verb == "delete" {
			var pods []string
			s := d.proc.Cluster.Snapshot()
			n, _ := s.NodeOf(c)
			if n != nil {
				for _, p := range s.PodsOn(n.Name) {
					plan := s.Plans.Of(p.UID)
					pods = append(pods, p.Name+"→"+plan.NodeClaim)
				}
			}
			fmt.Println(at, "DELETE", c.Name, off, pods)
		}
	}
	if p, ok := obj.(*corev1.Pod); ok && verb == "evict" {
		_ = p
	}
}
