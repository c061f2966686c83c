package manifest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A Source is a text to read manifests from. Its name is what errors call it.
type Source struct {
	Name string
	Data []byte
}

// extensions of the files that are read from a folder.
var extensions = []string{".yaml", ".yml", ".json"}

// Open reads files, the manifests that lie directly in folders, and standard
// input where a path is "-". A folder without a manifest is an error: more often
// than not it is the wrong folder.
func Open(paths []string, stdin io.Reader) ([]Source, error) {
	var sources []Source
	for _, path := range paths {
		if path == "-" {
			data, err := io.ReadAll(stdin)
			if err != nil {
				return nil, fmt.Errorf("reading standard input: %w", err)
			}
			sources = append(sources, Source{"standard input", data})
			continue
		}
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, reason(err))
			}
			sources = append(sources, Source{file, data})
		}
	}
	return sources, nil
}

// filesOf returns path, or the manifests in it if it is a folder, by name.
func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, reason(err))
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(extensions, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no manifest in this folder (*.yaml, *.yml or *.json; folders below it are not read)", path)
	}
	return files, nil
}

// reason takes the path off an error of the file system: it is named already.
func reason(err error) error {
	if wrong, ok := errors.AsType[*os.PathError](err); ok {
		return wrong.Err
	}
	return err
}
