package aws

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The identity of a file of instance types in the project's own format.
const (
	typesAPIVersion = "stowage.sh/v1alpha1"
	typesKind       = "InstanceTypeList"
)

// A typesFile is the project's own format: what the binary embeds, and what
// --instance-types reads beside the AWS CLI's.
type typesFile struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Source of the facts and their day, for people.
	Source string `json:"source,omitempty"`
	Date   string `json:"date,omitempty"`
	// Items sorted by name.
	Items []TypeInfo `json:"items"`
}

// ReadTypes reads instance types from JSON: either what
// `aws ec2 describe-instance-types` prints or the project's own format, told
// apart by the keys of the document. Types that cannot be nodes are left out;
// the rest comes back sorted by name. Errors begin with name, which is the
// file's, and say where in the file and of which type.
func ReadTypes(r io.Reader, name string) ([]TypeInfo, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, jsonError(name, data, err)
	}
	var types []TypeInfo
	switch {
	case keys["InstanceTypes"] != nil:
		types, err = readCLI(data, name)
	case keys["kind"] != nil:
		types, err = readOwn(data, name)
	default:
		return nil, fmt.Errorf("%s: neither {\"InstanceTypes\": …} nor kind %s", name, typesKind)
	}
	if err != nil {
		return nil, err
	}
	types = slices.DeleteFunc(types, func(t TypeInfo) bool { return !t.Supported() })
	return sorted(types, name)
}

// WriteTypes writes instance types in the project's own format, sorted by name.
func WriteTypes(w io.Writer, types []TypeInfo, source, date string) error {
	items, err := sorted(slices.Clone(types), "writing instance types")
	if err != nil {
		return err
	}
	file := typesFile{APIVersion: typesAPIVersion, Kind: typesKind, Source: source, Date: date, Items: items}
	if err := json.NewEncoder(w).Encode(file); err != nil {
		return fmt.Errorf("writing instance types: %w", err)
	}
	return nil
}

func readCLI(data []byte, name string) ([]TypeInfo, error) {
	var out struct{ InstanceTypes []ec2types.InstanceTypeInfo }
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, jsonError(name, data, err)
	}
	types := make([]TypeInfo, 0, len(out.InstanceTypes))
	for i, info := range out.InstanceTypes {
		t, err := TypeInfoFromEC2(info)
		if err != nil {
			return nil, fmt.Errorf("%s: InstanceTypes[%d]: %w", name, i, err)
		}
		types = append(types, t)
	}
	return types, nil
}

func readOwn(data []byte, name string) ([]TypeInfo, error) {
	var file typesFile
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(&file); err != nil {
		return nil, jsonError(name, data, err)
	}
	if file.APIVersion != typesAPIVersion || file.Kind != typesKind {
		return nil, fmt.Errorf("%s: apiVersion %q, kind %q; want %s, %s", name, file.APIVersion, file.Kind, typesAPIVersion, typesKind)
	}
	for i, t := range file.Items {
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("%s: items[%d]: %w", name, i, err)
		}
	}
	return file.Items, nil
}

// check refuses what EC2 would never say.
func (t *TypeInfo) check() error {
	switch {
	case t.Name == "":
		return errors.New("name: is missing")
	case t.Arch != "amd64" && t.Arch != "arm64":
		return fmt.Errorf("%s: arch: %q is neither amd64 nor arm64", t.Name, t.Arch)
	case t.VCPUs <= 0:
		return fmt.Errorf("%s: vcpus: must be more than 0", t.Name)
	case t.MemoryMiB <= 0:
		return fmt.Errorf("%s: memoryMiB: must be more than 0", t.Name)
	}
	for _, n := range []int64{
		t.ENIs, t.IPv4PerENI, t.BranchENIs, t.EFAs, t.NetworkCards, t.NetworkMbps, t.EBSMbps, t.EBSVolumes, t.Disks, t.StorageGB, t.ClockMHz,
		t.GPUs.Count, t.GPUs.MemoryMiB, t.Accelerators.Count, t.Accelerators.MemoryMiB, t.Accelerators.Cores,
	} {
		if n < 0 {
			return fmt.Errorf("%s: a quantity is negative", t.Name)
		}
	}
	return nil
}

// sorted sorts types by name; a name that stands twice is an error.
func sorted(types []TypeInfo, name string) ([]TypeInfo, error) {
	slices.SortFunc(types, func(a, b TypeInfo) int { return cmp.Compare(a.Name, b.Name) })
	for i := range types[:max(0, len(types)-1)] {
		if types[i].Name == types[i+1].Name {
			return nil, fmt.Errorf("%s: instance type %s stands twice", name, types[i].Name)
		}
	}
	return types, nil
}

// jsonError puts the line and, where the decoder knows it, the field before err.
func jsonError(name string, data []byte, err error) error {
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s:%d: %w", name, line(data, wrong.Offset), err)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s:%d: %s: a JSON %s cannot be that", name, line(data, wrong.Offset), cmp.Or(wrong.Field, "the document"), wrong.Value)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// line is the number of the line that the byte at offset is on.
func line(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n"))
}
