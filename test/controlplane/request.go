package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SetNodeReady patches a node's Ready condition, as its kubelet would: to True
// once its network is up, or to False. It is a patch of that condition alone.
func (cp *ControlPlane) SetNodeReady(ctx context.Context, name string, ready bool) error {
	// Both times are written: kwok's refresh moves the first alone, and a transition
	// without a time would read as one in the year 1.
	now := metav1.NewTime(time.Now())
	condition := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		Reason: "KubeletReady", Message: "kubelet is posting ready status",
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	if !ready {
		condition.Status = corev1.ConditionFalse
		condition.Reason, condition.Message = "KubeletNotReady", "container runtime network not ready"
	}
	patch := map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{condition}}}
	err := cp.request(ctx, http.MethodPatch, "/api/v1/nodes/"+name+"/status", patch, nil)
	if err != nil {
		return fmt.Errorf("setting node %s ready=%t: %w", name, ready, err)
	}
	return nil
}

// request sends in to the API server as the administrator and decodes the
// answer to out, which may be nil. Two requests do not warrant a generated
// client, which would be most of what this package compiles.
func (cp *ControlPlane) request(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, cp.admin.Host+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", string(types.StrategicMergePatchType))
	}
	response, err := cp.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		// What the API server refuses, it explains; what stands in front of it may not.
		var status metav1.Status
		if json.Unmarshal(answer, &status) == nil && status.Message != "" {
			return fmt.Errorf("%s: %s", response.Status, status.Message)
		}
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
