package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// TestVersionIsReadAgain plays an upgrade of the control plane, during which it
// does not answer for a while, in virtual time.
func TestVersionIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = versionInterval/10 + time.Second // by chance, and for the step itself
		var runs atomic.Value                         // a version; "" is down
		var asked atomic.Int64
		runs.Store("1.35")
		v := &kubeVersion{ask: func(context.Context) (string, error) {
			asked.Add(1)
			if version := runs.Load().(string); version != "" {
				return version, nil
			}
			return "", errors.New("connection refused")
		}}
		if err := v.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(log.IntoContext(t.Context(), logr.Discard()))
		done := make(chan error)
		go func() { done <- refresh("the version", versionInterval, v.refresh)(ctx) }()
		expect := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := v.get(); got != want {
				t.Errorf("the version is %s, want %s", got, want)
			}
		}
		expect(time.Second, "1.35")
		runs.Store("1.36")
		expect(versionInterval-2*time.Second, "1.35")
		expect(2*time.Second+late, "1.36")

		runs.Store("")
		before := asked.Load()
		expect(versionInterval+late, "1.36")
		if asked.Load() == before {
			t.Error("nobody asked while the control plane was down")
		}
		runs.Store("1.37")
		expect(time.Minute+time.Second, "1.37") // what failed is tried again sooner
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestVersionOfTheServer asks an API server on loopback.
func TestVersionOfTheServer(t *testing.T) {
	for answer, want := range map[string]string{
		`{"major": "1", "minor": "36", "gitVersion": "v1.36.3"}`: "1.36",
		`{"major": "1", "minor": "36+"}`:                         "1.36",
		`{"gitVersion": "v1.36.3"}`:                              "",
		`<html>`:                                                 "",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/version" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			fmt.Fprint(w, answer)
		}))
		v, err := newKubeVersion(t.Context(), &rest.Config{Host: server.URL}, "")
		switch {
		case want == "" && (err == nil || !strings.HasPrefix(err.Error(), "asking the API server for its version: ")):
			t.Errorf("%s: error %v", answer, err)
		case want != "" && (err != nil || v.get() != want):
			t.Errorf("%s: error %v, want %s", answer, err, want)
		}
		server.Close()
	}
}

// TestVersionThatIsGiven is nobody's to change.
func TestVersionThatIsGiven(t *testing.T) {
	v, err := newKubeVersion(t.Context(), nil, "1.34")
	if err == nil {
		err = v.refresh(t.Context())
	}
	if err != nil || v.get() != "1.34" {
		t.Errorf("version %v, error %v", v, err)
	}
}
