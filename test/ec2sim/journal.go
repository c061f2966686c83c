package ec2sim

import (
	"maps"
	"net/url"
	"slices"
	"time"
)

// A Request is one line of the journal.
type Request struct {
	At              time.Time
	Service, Action string
	// Form of a Query request; nil for other protocols.
	Form url.Values
	// Body of a JSON request.
	Body string
}

// journal counts all calls, and keeps them when asked to.
type journal struct {
	calls map[string]int
	keep  bool
	kept  []Request
}

// add notes a call. The server's lock is held.
func (j *journal) add(q request) {
	j.calls[q.action]++
	if !j.keep {
		return
	}
	r := Request{At: now(), Service: q.service, Action: q.action, Form: q.form}
	if q.form == nil {
		r.Body = string(q.body)
	}
	j.kept = append(j.kept, r)
}

// Calls is how often an action was called, the refused calls included.
func (s *Server) Calls(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.calls[action]
}

// AllCalls is the number of calls of every action that was called.
func (s *Server) AllCalls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.journal.calls)
}

// Record begins to keep every request for Requests, or stops and forgets them.
func (s *Server) Record(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.keep = on
	s.journal.kept = nil
}

// Requests are those of an action since Record, in the order of their arrival;
// of all actions when it is "".
func (s *Server) Requests(action string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.journal.kept), func(r Request) bool { return action != "" && r.Action != action })
}
