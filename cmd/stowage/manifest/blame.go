package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// blame names the field of an object that made decoding fail. Decoders do not
// say it where a type reads its own text, as quantities and times do. So it takes
// out one field after the other, and goes down where the failure went with it. It
// costs a decoding for each field, and only an object that is refused pays.
func blame(data []byte, err error, decode func([]byte) error) error {
	var tree any
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if in.Decode(&tree) != nil {
		return err
	}
	whole := failure(tree, decode)
	if whole == "" {
		return err
	}
	path, at := "", tree
	for {
		name, child := culprit(at, func() bool { return failure(tree, decode) != whole })
		if name == "" && path == "" {
			return err
		}
		if name == "" {
			return fmt.Errorf("%s: %s", path, explain(err, at))
		}
		path, at = strings.TrimPrefix(path+name, "."), child
	}
}

// failure returns what decoding the tree says, or "".
func failure(tree any, decode func([]byte) error) string {
	data, err := json.Marshal(tree)
	if err == nil {
		err = decode(data)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// culprit finds the child without which fixed is true, and its name as the next
// step of a path.
func culprit(at any, fixed func() bool) (name string, child any) {
	switch node := at.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			was := node[key]
			node[key] = nil
			found := was != nil && fixed()
			node[key] = was
			if found {
				return step(key), was
			}
		}
	case []any:
		for i, was := range node {
			node[i] = nil
			found := was != nil && fixed()
			node[i] = was
			if found {
				return fmt.Sprintf("[%d]", i), was
			}
		}
	}
	return "", nil
}

// step writes a key as the next part of a path: in brackets where it has a
// separator in itself, as the names of labels and resources do.
func step(key string) string {
	if strings.ContainsAny(key, "./") {
		return "[" + key + "]"
	}
	return "." + key
}

// explain says what is wrong with a value, in words that do not speak of Go.
func explain(err error, value any) string {
	text, marshalErr := json.Marshal(value)
	if marshalErr != nil || len(text) > 60 {
		text = []byte("the value")
	}
	if errors.Is(err, resource.ErrFormatWrong) || errors.Is(err, resource.ErrNumeric) || errors.Is(err, resource.ErrSuffix) {
		return fmt.Sprintf("%s is not a quantity, such as 500m or 2Gi", text)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind := strings.TrimLeft(wrong.Type.Kind().String(), "u")
		switch {
		case strings.HasPrefix(kind, "int"):
			return fmt.Sprintf("%s is not a whole number", text)
		case kind == "bool":
			return fmt.Sprintf("%s is neither true nor false", text)
		case kind == "slice":
			return fmt.Sprintf("%s is not a list", text)
		case kind == "struct" || kind == "map":
			return fmt.Sprintf("%s is not an object", text)
		}
		return fmt.Sprintf("%s is not a %s", text, kind)
	}
	return fmt.Sprintf("%s: %v", text, err)
}
