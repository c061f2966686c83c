package e2e

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// expired: a node that is as old as it may become goes, and its replacement was bought before.
func expired(t *testing.T) {
	s := newScene(t, "expired", class{})
	s.pool(pool{Types: "m5.large", Expire: "40s"})
	s.deploy(pods{Name: "web", Count: 1})
	s.running("web", 1)
	old := s.claims("")[0]
	eventually(t, "the node is gone", func() error {
		for _, c := range s.claims("") {
			if c.Name == old.Name {
				return fmt.Errorf("NodeClaim %s stands: %v", c.Name, c.Status.Conditions)
			}
		}
		return nil
	})
	s.told("NodeClaim", old.Name, "DisruptionTerminating", "Expired")
	pod := s.running("web", 1)[0]
	if waited := scheduled(pod).Sub(pod.CreationTimestamp.Time); waited > 0 {
		t.Logf("the pod waited %v for its node", waited)
	}
}

// TestSurge: a Deployment's only pod is replaced before it ends, where that is asked for, with
// the right that the chart gives for it.
func TestSurge(t *testing.T) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "surge"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"},
	}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "surge"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "surge"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts"}},
	}
	if err := errors.Join(here.Client.Create(t.Context(), role), here.Client.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}
	start(t, "--surge-single-replicas")
	s := newScene(t, "surge", class{})
	s.pool(pool{Types: "m5.large"})
	s.deploy(pods{Name: "web", Count: 1})
	_, err := here.Kubectl(s.ctx(), "annotate", "deployment", "web", "-n", s.name, v1.AnnotationSurge+"=true")
	s.must(err)
	first := s.running("web", 1)[0]
	eventually(t, "it is Ready", func() error {
		if s.serving("web") != 1 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	claim := s.claims("")[0]
	s.must(here.Client.Delete(s.ctx(), &claim))
	down := false
	eventually(t, "another pod serves", func() error {
		down = down || s.serving("web") == 0
		for _, pod := range s.pods("web") {
			if pod.UID != first.UID && pod.Status.Phase == corev1.PodRunning && s.serving("web") == 1 {
				return nil
			}
		}
		return fmt.Errorf("it is not there")
	})
	if down {
		t.Error("for a while nothing served")
	}
	s.told("Deployment", "web", "Surging", first.Name)
	eventually(t, "the old node is gone", func() error {
		for _, c := range s.claims("") {
			if c.Name == claim.Name {
				return fmt.Errorf("NodeClaim %s stands: %v", c.Name, c.Status.Conditions)
			}
		}
		return nil
	})
	if bought := len(s.bought("")); bought != 2 {
		t.Errorf("%d instances were bought, want 2", bought)
	}
}
