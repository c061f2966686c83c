package aws

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"

	"sigs.k8s.io/yaml"
)

// The content types that cloud-init and nodeadm tell parts apart by.
const (
	nodeConfigType  = "application/node.eks.aws"
	shellType       = `text/x-shellscript; charset="us-ascii"`
	cloudConfigType = `text/cloud-config; charset="us-ascii"`
)

// A part is one document of user data.
type part struct {
	contentType string
	// header holds what else a part of the user's own archive said; it may be nil.
	header textproto.MIMEHeader
	body   string
}

// userParts splits what a user wrote into documents: a MIME archive is taken
// apart, a NodeConfig and a cloud-config are known by how they begin, and
// everything else is a shell script.
func userParts(data string) ([]part, error) {
	text := strings.TrimSpace(data)
	switch {
	case text == "":
		return nil, nil
	case hasPrefixFold(text, "MIME-Version:"), hasPrefixFold(text, "Content-Type:"):
		return unarchive(text)
	case strings.HasPrefix(text, "#cloud-config"):
		return []part{{contentType: cloudConfigType, body: data}}, nil
	case isNodeConfig(text):
		return []part{{contentType: nodeConfigType, body: data}}, nil
	}
	return []part{{contentType: shellType, body: data}}, nil
}

// text returns the body as it is meant: an archive may hold it encoded. One that cannot be decoded is as it stands.
func (p part) text() string {
	var decoded io.Reader
	switch encoding := strings.TrimSpace(p.header.Get("Content-Transfer-Encoding")); {
	case strings.EqualFold(encoding, "base64"):
		decoded = base64.NewDecoder(base64.StdEncoding, strings.NewReader(p.body)) // which skips line breaks
	case strings.EqualFold(encoding, "quoted-printable"):
		decoded = quotedprintable.NewReader(strings.NewReader(p.body))
	default:
		return p.body
	}
	text, err := io.ReadAll(decoded)
	if err != nil {
		return p.body
	}
	return string(text)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isNodeConfig reports whether text is YAML that says it is a NodeConfig.
func isNodeConfig(text string) bool {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		return false
	}
	return strings.HasPrefix(head.APIVersion, "node.eks.aws/") && head.Kind == "NodeConfig"
}

// unarchive splits a multipart message, keeping every part as it was encoded.
func unarchive(text string) ([]part, error) {
	message, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the MIME header: %w", err)
	}
	media, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("reading the MIME content type: %w", err)
	}
	if !strings.HasPrefix(media, "multipart/") {
		return nil, fmt.Errorf("reading the MIME content type: it is %s, not multipart", media)
	}
	reader := multipart.NewReader(message.Body, params["boundary"])
	var parts []part
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading part %d of the MIME archive: %w", len(parts)+1, err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			return nil, fmt.Errorf("reading part %d of the MIME archive: %w", len(parts)+1, err)
		}
		header := textproto.MIMEHeader{}
		for key, values := range p.Header {
			if key != "Content-Type" {
				header[key] = values
			}
		}
		parts = append(parts, part{contentType: p.Header.Get("Content-Type"), header: header, body: string(body)})
	}
}

// archive writes parts as one multipart message. The boundary is a function of
// the parts, so the message is too.
func archive(parts []part) string {
	boundary := "stowage"
	for _, p := range parts {
		for strings.Contains(p.body, "--"+boundary) {
			boundary += "-x"
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%q\r\n\r\n", boundary)
	w := multipart.NewWriter(&out)
	// Writing to memory does not fail, and the boundary is made of safe letters.
	_ = w.SetBoundary(boundary)
	for _, p := range parts {
		header := textproto.MIMEHeader{}
		if p.contentType != "" {
			header.Set("Content-Type", p.contentType)
		}
		for key, values := range p.header {
			header[key] = values
		}
		body, _ := w.CreatePart(header)
		_, _ = io.WriteString(body, p.body)
	}
	_ = w.Close()
	return out.String()
}
