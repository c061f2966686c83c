package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// A document is one object of a source, as JSON.
type document struct {
	json []byte
	at   Place
}

// documents splits a source: a stream of YAML documents, or of JSON objects.
func documents(s Source) ([]document, error) {
	data := bytes.TrimPrefix(s.Data, []byte("\ufeff"))
	start := bytes.TrimLeft(data, " \t\r\n")
	isJSON := filepath.Ext(s.Name) == ".json"
	if isJSON || bytes.HasPrefix(start, []byte("{")) {
		docs, err := splitJSON(s.Name, data)
		if err == nil || isJSON {
			return docs, err
		}
		// YAML may begin with a brace too. If it is neither, it was meant as JSON.
		if docs, notYAML := splitYAML(s.Name, data); notYAML == nil {
			return docs, nil
		}
		return nil, err
	}
	return splitYAML(s.Name, data)
}

// splitJSON splits a stream of JSON values, of which each must be an object, as
// several answers of kubectl one after the other are.
func splitJSON(file string, data []byte) ([]document, error) {
	var docs []document
	in := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		err := in.Decode(&raw)
		switch {
		case err == io.EOF:
			return docs, nil
		case err == io.ErrUnexpectedEOF:
			return nil, fmt.Errorf("%s: the JSON ends too early", Place{file, lineAt(data, int64(len(data))), -1})
		case err != nil:
			at := in.InputOffset()
			if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
				at = wrong.Offset
			}
			return nil, fmt.Errorf("%s: %w", Place{file, lineAt(data, at), -1}, err)
		}
		docs = append(docs, document{raw, Place{file, lineAt(data, in.InputOffset()-int64(len(raw))), -1}})
	}
}

// lineAt returns the number of the line that the byte at offset is on.
func lineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(offset, int64(len(data)))], []byte("\n"))
}

// splitYAML splits at the lines that begin or end a document. What lies between
// and is no more than comments is not a document.
func splitYAML(file string, data []byte) ([]document, error) {
	var docs []document
	var text bytes.Buffer
	first, line := 1, 0 // the line that the document begins on, and the one read
	flush := func() error {
		defer text.Reset()
		if blank(text.String()) {
			return nil
		}
		converted, err := yaml.YAMLToJSONStrict(text.Bytes())
		if err != nil {
			return yamlError(file, first, err)
		}
		docs = append(docs, document{converted, Place{file, first + leading(text.String()), -1}})
		return nil
	}
	for row := range bytes.Lines(data) {
		line++
		if bytes.HasPrefix(row, []byte("---")) || bytes.HasPrefix(row, []byte("...")) {
			if rest := row[3:]; len(bytes.TrimLeft(rest, " \t\r\n")) < len(rest) || len(rest) == 0 {
				if err := flush(); err != nil {
					return nil, err
				}
				first = line
				row = append([]byte("   "), rest...) // a document may begin on the marker's line
			}
		}
		text.Write(row)
	}
	return docs, flush()
}

// blank reports whether a text holds only comments and directives.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		if !idle(line) {
			return false
		}
	}
	return true
}

// leading counts the lines before the first that says something.
func leading(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if !idle(line) {
			break
		}
		n++
	}
	return n
}

// idle reports whether a line outside of a document says nothing.
func idle(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' || line[0] == '%'
}

// yamlLine is how the YAML library says where.
var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError gives an error of the YAML library the form of the others: it counts
// lines from the beginning of the document, which is on line first of the file.
func yamlError(file string, first int, err error) error {
	text := strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " ")
	text = strings.TrimPrefix(text, "unmarshal errors: ")
	at := Place{file, first, -1}
	if match := yamlLine.FindStringSubmatch(text); match != nil {
		if n, err := strconv.Atoi(match[1]); err == nil {
			at.Line += n - 1
		}
		text = strings.Replace(text, match[0], "", 1)
		if next := yamlLine.FindStringIndex(text); next != nil {
			text = strings.TrimSpace(text[:next[0]]) // one error is enough
		}
	}
	return fmt.Errorf("%s: malformed YAML: %s", at, text)
}
