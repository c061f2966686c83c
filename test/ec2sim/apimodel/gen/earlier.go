package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// earlier is the module whose models have lengths, ranges and patterns: the last release of
// the SDK that carried them. Its models are of July 2024. It is no dependency of this module.
const earlier = "github.com/aws/aws-sdk-go@v1.55.8"

// fetch has the Go command fetch that module and returns the folder of its models.
func fetch() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", earlier)
	cmd.Dir = os.TempDir() // outside of this module, which must not come to require it
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", earlier, err)
	}
	var module struct{ Dir string }
	err = json.Unmarshal(out, &module)
	return filepath.Join(module.Dir, "models/apis"), err
}

// An oldModel is an earlier model: shapes by name.
type oldModel struct {
	Operations map[string]struct{ Input struct{ Shape string } }
	Shapes     map[string]oldShape
}

// An oldShape is a type of an earlier model.
type oldShape struct {
	Type     string
	Members  map[string]oldRef
	Member   *oldRef
	Min, Max *float64
	Pattern  string
}

// An oldRef names a shape, and says how a member of it is spelled on the wire.
type oldRef struct {
	Shape        string
	QueryName    string
	LocationName string
}

func readEarlier(dir, service, version string) (oldModel, error) {
	var m oldModel
	data, err := os.ReadFile(filepath.Join(dir, service, version, "api-2.json"))
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(data, &m)
	return m, err
}

// member finds a member of a structure by its name on the wire.
func (m oldModel) member(shape, service, wire string) (oldRef, bool) {
	for name, ref := range m.Shapes[shape].Members {
		said := name
		switch {
		case service == "ec2" && ref.QueryName != "":
			said = ref.QueryName
		case service == "ec2" && ref.LocationName != "":
			said = strings.ToUpper(ref.LocationName[:1]) + ref.LocationName[1:]
		}
		if said == wire {
			return ref, true
		}
	}
	return oldRef{}, false
}

// escaped is a character as the models' patterns name it.
var escaped = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// goPattern spells a pattern for package regexp.
func goPattern(p string) string { return escaped.ReplaceAllString(p, `\x{$1}`) }
