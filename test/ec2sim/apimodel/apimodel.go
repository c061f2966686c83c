// Package apimodel knows what a request to AWS may hold: of each operation that is called
// here, the members with their types, which of them must be there, the values of enums,
// and how long, large or many they may be. It says of a request what is wrong with it,
// which the SDK mostly leaves to the service to find.
//
// The facts come from what AWS publishes and are not written by hand; [Sources] says of
// which version each is. Two things follow from that. Members, required members and enums are
// those of the SDK that the product is linked with: what the service learns later is an
// unknown member here until the SDK is updated and
//
//	go generate ./test/ec2sim/apimodel
//
// is run. Lengths, ranges and patterns are in no such package any more: they come from the
// last that had them, where the member was there already, and from AWS's documentation (gen/documented.go).
package apimodel

//go:generate go run ./gen model.json

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
)

//go:embed model.json
var embedded []byte

// A Model is what is known of the services.
type Model struct {
	// Sources are the packages that the facts were read from, with their versions and what
	// was taken from each.
	Sources []string
	// Services by the name that requests are signed for: "ec2".
	Services map[string]Service
}

// A Service is what is known of one service.
type Service struct {
	// Operations maps the name of an operation to the shape of its input.
	Operations map[string]string
	// Structures by name.
	Structures map[string]map[string]Member
	// Enums by name: the values that there are.
	Enums map[string][]string
}

// A Member is one member of a structure, or the element of a list.
type Member struct {
	// Kind is structure, list, string, integer, float, boolean, timestamp or blob.
	Kind string
	// Shape names the structure, or the enum of a string; it may be empty for a string.
	Shape string `json:",omitempty"`
	// Of is the element of a list.
	Of *Member `json:",omitempty"`
	// Item stands between a list's name and the numbers of its elements where a Query service
	// asks for it: "member" in Tags.member.1.
	Item     string `json:",omitempty"`
	Required bool   `json:",omitempty"`
	// Min and Max bound a number, the length of a string in characters, or of a list in elements.
	Min *float64 `json:",omitempty"`
	Max *float64 `json:",omitempty"`
	// Pattern is a regular expression that the whole string matches.
	Pattern string `json:",omitempty"`
}

// load reads the embedded model, once.
var load = sync.OnceValue(func() *Model {
	m := &Model{}
	if err := json.Unmarshal(embedded, m); err != nil {
		panic(fmt.Sprintf("reading the embedded API model: %v", err)) // the file is part of the program
	}
	return m
})

// Sources says where the facts are from: a package with its version, and what was taken.
func Sources() []string { return load().Sources }

// Operations lists, by service, what is known: the name of each operation and of its
// input. The caller must not change it.
func Operations() map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, s := range load().Services {
		out[name] = s.Operations
	}
	return out
}

// pattern compiles a regular expression of the model. It is for the whole string.
func pattern(text string) (*regexp.Regexp, error) {
	if re, ok := compiled.Load(text); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(`^(?:` + text + `)$`)
	if err == nil {
		compiled.Store(text, re)
	}
	return re, err
}

// compiled are the patterns that were needed, by their text.
var compiled sync.Map
