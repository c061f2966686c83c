package binpack

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// The text form is made of words. A word stands bare, or between quotation
// marks as in Go. A quoted word is always a name, so that a pool may be called
// "weight".

// keywords may not stand bare for a name.
var keywords = map[string]bool{
	"resources": true, "key": true, "pool": true, "offer": true, "node": true, "group": true, "set": true,
	"exclusion": true, "spread": true, "affinity": true, "stock": true, "units": true, "steps": true,
	"weight": true, "fee": true, "left": true, "nodes": true, "minvalues": true,
	"overhead": true, "charge": true, "at": true, "values": true, "variant": true, "relaxed": true,
	"priority": true, "max": true, "offers": true, "unsupported": true,
	"owners": true, "counted": true, "skew": true, "min": true, "over": true,
	"targets": true, "of": true, "from": true, "present": true, "all": true, "but": true, "none": true, "hostname": true,
}

// A word of a line, with where it is from.
type word struct {
	text   string
	quoted bool
	line   int
	column int // counted in words, from 1
}

// is reports whether w is the given keyword. What is quoted never is.
func (w word) is(keyword string) bool { return !w.quoted && w.text == keyword }

// keyword reports whether w begins a clause, and so ends a list.
func (w word) keyword() bool { return !w.quoted && keywords[w.text] }

// errorf makes an error that names the place.
func (w word) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d, word %d: %s", w.line, w.column, fmt.Sprintf(format, args...))
}

// lex splits a line into words. What follows a # that begins a word is remark.
func lex(text string, line int) ([]word, error) {
	var words []word
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" || text[0] == '#' {
			return words, nil
		}
		w := word{line: line, column: len(words) + 1}
		// Go's own rules for quotation, so that any name can be written, even one
		// that is no valid text.
		if text[0] == '"' {
			quoted, err := strconv.QuotedPrefix(text)
			if err != nil {
				return nil, w.errorf("the quotation does not end, or has a wrong escape")
			}
			if w.text, err = strconv.Unquote(quoted); err != nil {
				return nil, w.errorf("reading the quotation: %v", err)
			}
			w.quoted = true
			text = text[len(quoted):]
			if text != "" && !unicode.IsSpace(rune(text[0])) {
				return nil, w.errorf("no space after the quotation")
			}
		} else {
			end := strings.IndexFunc(text, unicode.IsSpace)
			if end < 0 {
				end = len(text)
			}
			w.text, text = text[:end], text[end:]
			if strings.Contains(w.text, `"`) {
				return nil, w.errorf("a quotation mark inside the word %s", w.text)
			}
		}
		words = append(words, w)
	}
}

// quote writes a name so that lex reads it back as one.
func quote(name string) string {
	bare := name != "" && !keywords[name] && !strings.ContainsAny(name[:1], "#@$-")
	for _, c := range name {
		if c == '"' || c == unicode.ReplacementChar || unicode.IsSpace(c) || !unicode.IsPrint(c) {
			bare = false
		}
	}
	if bare {
		return name
	}
	return strconv.Quote(name)
}

// String writes a price in dollars, with all six decimals.
func (m MicroUSD) String() string {
	sign := ""
	n := uint64(m)
	if m < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s$%d.%06d", sign, n/1e6, n%1e6)
}

// price reads what String writes, and fewer decimals.
func (w word) price() (MicroUSD, error) {
	whole, part, _ := strings.Cut(strings.TrimPrefix(w.text, "$"), ".")
	if !strings.HasPrefix(w.text, "$") || len(part) > 6 || whole == "" {
		return 0, w.errorf("%q is not a price such as $0.096", w.text)
	}
	// Digits, not floats: what is written is what is meant.
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 6-len(part)), 10, 63)
	if err != nil {
		return 0, w.errorf("%q is not a price such as $0.096", w.text)
	}
	return MicroUSD(n), nil
}

// number reads an integer.
func (w word) number() (int64, error) {
	n, err := strconv.ParseInt(w.text, 10, 64)
	if err != nil || w.quoted {
		return 0, w.errorf("%q is not a whole number", w.text)
	}
	return n, nil
}
