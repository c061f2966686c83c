package main

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestConclusion: only an end without an error says that nothing is left.
func TestConclusion(t *testing.T) {
	interrupt := errors.New("interrupt")
	stuck := errors.New("etcd did not end")
	lost := errors.New("stowage ended")
	for name, c := range map[string]struct {
		interrupted, played, ended error
		text                       string
		code                       int
	}{
		"to the end":                  {},
		"to the end, but for the end": {ended: stuck, text: "demo: etcd did not end", code: 1},
		"broken":                      {played: lost, text: "demo: stowage ended", code: 1},
		"broken, and Ctrl-C":          {interrupted: interrupt, played: lost, text: "stopped: stowage ended", code: 1},
		"Ctrl-C":                      {interrupted: interrupt, played: interrupt, text: "stopped; nothing is left running", code: 130},
		"Ctrl-C of what was kept":     {interrupted: interrupt, text: "stopped; nothing is left running"},
		"Ctrl-C, and no end":          {interrupted: interrupt, played: interrupt, ended: stuck, text: "stopped: etcd did not end", code: 1},
		"kept, Ctrl-C, and no end":    {interrupted: interrupt, ended: stuck, text: "stopped: etcd did not end", code: 1},
	} {
		if text, code := conclusion(c.interrupted, c.played, c.ended); strings.TrimSpace(text) != c.text || code != c.code {
			t.Errorf("%s: %q and %d, want %q and %d", name, text, code, c.text, c.code)
		}
	}
}

// TestUnready has what is said of an object that is being waited for.
func TestUnready(t *testing.T) {
	condition := func(name string, status metav1.ConditionStatus, message string) metav1.Condition {
		return metav1.Condition{Type: name, Status: status, Message: message}
	}
	for want, conditions := range map[string][]metav1.Condition{
		"":                                   {condition("Ready", "True", ""), condition("NodeRegistrationHealthy", "False", "none joined")},
		"no controller has looked at it yet": {condition("SubnetsReady", "False", "none match")},
		"SubnetsReady=False, AMIsReady=Unknown; SubnetsReady: none match": {
			condition("SubnetsReady", "False", "none match"), condition("AMIsReady", "Unknown", "not asked yet"), condition("Ready", "False", "SubnetsReady=False, AMIsReady=Unknown"),
		},
	} {
		if got := unready(conditions); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
