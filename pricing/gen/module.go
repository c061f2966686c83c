package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A module is a published Go module, pinned by version and by the hash of its
// files as go.sum has it.
type module struct{ path, version, sum string }

var (
	instancesModule = module{
		"github.com/cristim/ec2-instances-info", "v0.0.0-20250528091325-32acf84f42eb",
		"h1:exJ9FsMTbotSG5xgDHmFJE84gV3MZ4JRpR8nhbgJz/k=",
	}
	limitsModule = module{
		"github.com/aws/amazon-vpc-resource-controller-k8s", "v1.8.2",
		"h1:S6fvZf7+Xjho4LLo2AdxT3x9yaOJ37Ly/eGQd+ASWi4=",
	}
)

// String returns path@version, as the go command takes it.
func (m module) String() string { return m.path + "@" + m.version }

// date is the day in the module's pseudo-version: v0.0.0-YYYYMMDD….
func (m module) date() string {
	_, stamp, _ := strings.Cut(m.version, "-")
	if len(stamp) < 8 {
		return ""
	}
	return stamp[:4] + "-" + stamp[4:6] + "-" + stamp[6:8]
}

// read fetches the module, if the module cache does not have it yet, and
// returns one of its files.
func (m module) read(file string) ([]byte, error) {
	cmd := exec.Command("go", "mod", "download", "-json", m.String())
	// Outside of any module: the download is none of the product's business.
	cmd.Dir = os.TempDir()
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil {
		return nil, fmt.Errorf("downloading %s: %w", m, errors.Join(err, jsonErr))
	}
	if err != nil || got.Error != "" {
		return nil, fmt.Errorf("downloading %s: %s: %w", m, got.Error, err)
	}
	if got.Sum != m.sum {
		return nil, fmt.Errorf("downloading %s: its hash is %s, want %s", m, got.Sum, m.sum)
	}
	data, err := os.ReadFile(filepath.Join(got.Dir, file))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", m, err)
	}
	return data, nil
}
