package ec2sim

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// powershellScripts are what EC2Launch runs.
var powershellScripts = regexp.MustCompile(`(?is)<powershell>(.*?)</powershell>`)

// runPowerShell runs as much of user data as joining needs: assignments of text to
// variables, and the call of Start-EKSBootstrap.ps1.
func runPowerShell(userData string, cluster Cluster) (*kubelet, error) {
	found := powershellScripts.FindStringSubmatch(userData)
	if found == nil {
		return nil, errors.New("user data has nothing between <powershell> tags, and nothing was run")
	}
	r := powershellReader{text: found[1], variables: map[string]string{"env:programfiles": `C:\Program Files`}}
	for {
		words, err := r.statement()
		if err != nil {
			return nil, fmt.Errorf("running user data: %w", err)
		}
		if words == nil {
			return nil, errors.New("user data ran to its end, and nothing started kubelet")
		}
		switch {
		case len(words) == 3 && words[1].text == "=" && !words[0].quoted && strings.Contains(words[0].raw, "$"):
			_, name, _ := strings.Cut(words[0].raw, "$") // a type may stand before it: [string]$x
			r.variables[strings.ToLower(name)] = words[2].text
		case len(words) > 1 && words[0].text == "&" && strings.EqualFold(words[1].text, `C:\Program Files\Amazon\EKS\Start-EKSBootstrap.ps1`):
			return startEKSBootstrap(words[2:], cluster)
		}
	}
}

// startEKSBootstrap is the image's Start-EKSBootstrap.ps1.
func startEKSBootstrap(words []powershellWord, cluster Cluster) (*kubelet, error) {
	given := map[string]string{}
	for i := 0; i < len(words); i++ {
		name, ok := strings.CutPrefix(words[i].text, "-")
		switch {
		case redirection.MatchString(words[i].raw):
		case !ok || words[i].quoted:
			return nil, fmt.Errorf("Start-EKSBootstrap.ps1: a positional parameter cannot be found that accepts argument %q", words[i].text)
		case i+1 == len(words):
			return nil, fmt.Errorf("Start-EKSBootstrap.ps1: missing an argument for parameter %q", name)
		default:
			i++
			given[strings.ToLower(name)] = words[i].text
		}
	}
	for name := range given {
		switch name {
		case "eksclustername", "apiserverendpoint", "base64clusterca", "dnsclusterip", "servicecidr", "kubeletextraargs", "kubeproxyextraargs", "excludedsnatcidrs", "containerruntime":
		default:
			return nil, fmt.Errorf("Start-EKSBootstrap.ps1: a parameter cannot be found that matches parameter name %q", name)
		}
	}
	k := newKubelet()
	// Windows is given no reservation, and kubelet's own number of pods.
	k.reserve, k.maxPods = nil, 110
	if err := k.cluster(cluster, given["eksclustername"], given["apiserverendpoint"], given["base64clusterca"]); err != nil {
		return nil, err
	}
	if cidr := given["servicecidr"]; cidr != "" {
		if err := k.serviceCIDR(cluster, cidr); err != nil {
			return nil, err
		}
	}
	if dns := given["dnsclusterip"]; dns != "" {
		k.clusterDNS = []string{dns}
	}
	k.checkDNS(cluster)
	return k, k.flags(strings.Fields(given["kubeletextraargs"]))
}

// redirection is how a stream is sent into another: 3>&1.
var redirection = regexp.MustCompile(`^[0-9*]?>&[0-9]$`)

// A powershellWord is a word of a statement: as it was written, and what it stands for.
type powershellWord struct {
	raw, text string
	quoted    bool
}

// A powershellReader splits a script into statements and those into words.
type powershellReader struct {
	text      string
	at        int
	variables map[string]string // by name in lower case
}

// statement returns the next statement that is not empty; nil at the end.
func (r *powershellReader) statement() ([]powershellWord, error) {
	var words []powershellWord
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '\n' || c == ';':
			r.at++
			if words != nil {
				return words, nil
			}
		case c == ' ' || c == '\t' || c == '\r':
			r.at++
		case strings.HasPrefix(r.text[r.at:], "`\n"), strings.HasPrefix(r.text[r.at:], "`\r\n"):
			r.at += strings.IndexByte(r.text[r.at:], '\n') + 1
		case c == '#':
			for r.at < len(r.text) && r.text[r.at] != '\n' {
				r.at++
			}
		default:
			w, err := r.word()
			if err != nil {
				return nil, err
			}
			words = append(words, w)
		}
	}
	return words, nil
}

// word reads a word: a quoted text, or what stands up to a blank.
func (r *powershellReader) word() (powershellWord, error) {
	start := r.at
	switch r.text[r.at] {
	case '\'', '"':
		text, err := r.quoted(r.text[r.at])
		return powershellWord{r.text[start:r.at], text, true}, err
	}
	for r.at < len(r.text) && !strings.ContainsRune(" \t\r\n;`", rune(r.text[r.at])) {
		r.at++
	}
	if r.at == start { // a backtick that continues nothing
		r.at++
	}
	raw := r.text[start:r.at]
	return powershellWord{raw, r.expand(raw), false}, nil
}

// quoted reads a text in quotes. Two quotes are one; in double quotes a backtick
// takes the meaning from what follows, and variables are expanded.
func (r *powershellReader) quoted(quote byte) (string, error) {
	var out strings.Builder
	for r.at++; r.at < len(r.text); r.at++ {
		c := r.text[r.at]
		next := byte(0)
		if r.at+1 < len(r.text) {
			next = r.text[r.at+1]
		}
		switch {
		case c == quote && next == quote, c == '`' && quote == '"' && next != 0:
			r.at++
			out.WriteByte(next)
		case c == quote:
			r.at++
			if quote == '"' {
				return r.expand(out.String()), nil
			}
			return out.String(), nil
		default:
			out.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the string is missing the terminator: %c", quote)
}

var powershellVariable = regexp.MustCompile(`\$(?:env:)?\w+`)

// expand replaces variables; one that was never set is empty.
func (r *powershellReader) expand(text string) string {
	return powershellVariable.ReplaceAllStringFunc(text, func(name string) string {
		return r.variables[strings.ToLower(strings.TrimPrefix(name, "$"))]
	})
}
