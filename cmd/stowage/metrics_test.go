package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// scrape renders what is registered, a line for each series and count.
func scrape(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.Metric {
			b.WriteString(f.GetName())
			for _, l := range m.Label {
				fmt.Fprintf(&b, " %s=%s", l.GetName(), l.GetValue())
			}
			switch {
			case m.Gauge != nil:
				fmt.Fprintf(&b, " %v", m.Gauge.GetValue())
			case m.Counter != nil:
				fmt.Fprintf(&b, " %v", m.Counter.GetValue())
			case m.Histogram != nil:
				fmt.Fprintf(&b, " count %d", m.Histogram.GetSampleCount())
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestProcessMetrics(t *testing.T) {
	r, c, synced, leading, now := prometheus.NewRegistry(), state.New(), false, true, time.Unix(0, 0)
	err := registerProcess(r, subject{
		cluster: c, synced: func() bool { return synced }, leading: func() bool { return leading }, now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(9 * time.Second)
	if got := scrape(t, r); !strings.Contains(got, `karpenter_cluster_state_node_count 0
karpenter_cluster_state_synced 0
karpenter_cluster_state_unsynced_time_seconds 9
`) || !strings.Contains(got, "karpenter_build_info") {
		t.Errorf("at first:\n%s", got)
	}
	c.Observe(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "n"}})
	synced = true
	if got := scrape(t, r); !strings.Contains(got, "karpenter_cluster_state_node_count 1\nkarpenter_cluster_state_synced 1\nkarpenter_cluster_state_unsynced_time_seconds 0\n") {
		t.Errorf("with a node:\n%s", got)
	}
	leading = false
	if got := scrape(t, r); strings.Contains(got, "node_count") || !strings.Contains(got, "karpenter_cluster_state_synced 1\n") {
		t.Errorf("while another process acts:\n%s", got)
	}
}

// refusing is a cloud that has nothing.
type refusing struct{ cloudprovider.Provider }

func (refusing) Launch(context.Context, cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	return cloudprovider.Instance{}, fmt.Errorf("launching: %w", &cloudprovider.InsufficientCapacityError{Err: errors.New("none")})
}

func (refusing) List(context.Context) ([]cloudprovider.Instance, error) {
	return nil, errors.New("out of reach")
}

func (refusing) Terminate(context.Context, string) error { return nil }

func TestCloudIsMetered(t *testing.T) {
	r := prometheus.NewRegistry()
	meter, err := newCloudMeter(r, "test")
	if err != nil {
		t.Fatal(err)
	}
	cloud := meter.of(refusing{}, "life")
	if _, err := cloud.Launch(t.Context(), cloudprovider.LaunchRequest{}); err == nil {
		t.Error("the error is lost")
	}
	if err := cloud.Terminate(t.Context(), "i-1"); err != nil {
		t.Error(err)
	}
	if _, err := meter.of(refusing{}, "collection").List(t.Context()); err == nil {
		t.Error("the error is lost")
	}
	want := "karpenter_cloudprovider_duration_seconds controller=collection method=List provider=test count 1\n" +
		"karpenter_cloudprovider_duration_seconds controller=life method=Create provider=test count 1\n" +
		"karpenter_cloudprovider_duration_seconds controller=life method=Delete provider=test count 1\n" +
		"karpenter_cloudprovider_errors_total controller=collection error=unknown method=List provider=test 1\n" +
		"karpenter_cloudprovider_errors_total controller=life error=InsufficientCapacityError method=Create provider=test 1\n"
	if got := scrape(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestUserDataBytes: of each EC2NodeClass the last, until it is gone.
func TestUserDataBytes(t *testing.T) {
	r := prometheus.NewRegistry()
	meter, err := newRequestMeter(r)
	if err != nil {
		t.Fatal(err)
	}
	meter.UserData("default", 1000)
	meter.UserData("gpu", 16384)
	meter.UserData("default", 2000)
	if got := scrape(t, r); !strings.Contains(got, "karpenter_ec2nodeclasses_userdata_bytes nodeclass=default 2000\nkarpenter_ec2nodeclasses_userdata_bytes nodeclass=gpu 16384\n") {
		t.Errorf("user data of:\n%s", got)
	}
	meter.classGone("gpu")
	meter.classGone("gpu")
	if got := scrape(t, r); !strings.Contains(got, "nodeclass=default 2000\n") || strings.Contains(got, "gpu") {
		t.Errorf("without gpu:\n%s", got)
	}
}
