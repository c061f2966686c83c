package ec2sim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// An apiError is what AWS answers instead of a result. Code decides the status.
type apiError struct{ Code, Message string }

// Error is the form of the SDK's own.
func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// fail makes an apiError.
func fail(code, format string, args ...any) error {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// status is the HTTP status that AWS sends with the code.
func (e *apiError) status() int {
	switch e.Code {
	case "RequestLimitExceeded", "Unavailable", "ServiceUnavailable":
		return http.StatusServiceUnavailable
	// The status matters: the SDK repeats what ends in 5xx, and a want of capacity is
	// among that outside of fleets.
	case "InternalError", "InternalFailure", "InsufficientInstanceCapacity":
		return http.StatusInternalServerError
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "MissingAuthenticationToken":
		return http.StatusForbidden
	case "AuthFailure":
		return http.StatusUnauthorized
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "NoSuchEntity", "ResourceNotFoundException":
		return http.StatusNotFound
	case "EntityAlreadyExists", "DeleteConflict", "LimitExceeded":
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

// namespaces of the XML that services answer with.
var namespaces = map[string]string{
	"ec2": "http://ec2.amazonaws.com/doc/2016-11-15/",
	"iam": "https://iam.amazonaws.com/doc/2010-05-08/",
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}

// A tag, as EC2 spells it in answers.
type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// tagSet sorts tags by key.
func tagSet(tags map[string]string) []tag {
	var out []tag
	for k, v := range tags {
		out = append(out, tag{k, v})
	}
	slices.SortFunc(out, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// stamp is a time as EC2 writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// element writes body as the element name, with extra as its first child, which
// encoding/xml cannot say of a value whose type it does not know.
func element(name, namespace, extra string, body any) ([]byte, error) {
	var b bytes.Buffer
	start := xml.StartElement{Name: xml.Name{Local: name}}
	if namespace != "" {
		start.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	}
	if body == nil {
		body = struct{}{}
	}
	if err := xml.NewEncoder(&b).EncodeElement(body, start); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", name, err)
	}
	// Attributes hold no '>': the first one ends the start tag.
	at := bytes.IndexByte(b.Bytes(), '>') + 1
	return slices.Insert(b.Bytes(), at, []byte(extra)...), nil
}

// writeEC2 writes an answer of EC2, or an error in EC2's own form.
func writeEC2(w http.ResponseWriter, id, action string, body any, err error) {
	if err != nil {
		e := asAPIError(err)
		send(w, e.status(), "text/xml;charset=UTF-8", fmt.Appendf(nil,
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>",
			escape(e.Code), escape(e.Message), id))
		return
	}
	out, err := element(action+"Response", namespaces["ec2"], "<requestId>"+id+"</requestId>", body)
	if err != nil {
		writeEC2(w, id, action, nil, err)
		return
	}
	send(w, http.StatusOK, "text/xml;charset=UTF-8", out)
}

// writeQuery writes an answer of the older Query services, IAM and STS.
func writeQuery(w http.ResponseWriter, q request, body any, err error) {
	namespace := namespaces[q.service]
	if err != nil {
		e := asAPIError(err)
		send(w, e.status(), "text/xml", fmt.Appendf(nil,
			"<ErrorResponse xmlns=\"%s\"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
			namespace, escape(e.Code), escape(e.Message), q.id))
		return
	}
	result, err := element(q.action+"Result", "", "", body)
	if err != nil {
		writeQuery(w, q, nil, err)
		return
	}
	send(w, http.StatusOK, "text/xml", fmt.Appendf(nil, "<%[1]sResponse xmlns=%[2]q>%[3]s<ResponseMetadata><RequestId>%[4]s</RequestId></ResponseMetadata></%[1]sResponse>",
		q.action, namespace, result, q.id))
}

// writeJSON writes an answer of a JSON service: 1.0, 1.1 or REST.
func writeJSON(w http.ResponseWriter, contentType string, body any, err error) {
	status := http.StatusOK
	if err != nil {
		e := asAPIError(err)
		status = e.status()
		// REST JSON reads the header, the others the body.
		w.Header().Set("X-Amzn-Errortype", e.Code)
		body = map[string]string{"__type": e.Code, "message": e.Message}
	}
	if body == nil {
		body = struct{}{}
	}
	// No value of ours fails to encode. If one does, a status that the SDK repeats keeps
	// the mistake from looking like an answer.
	out, err := json.Marshal(body)
	if err != nil {
		status, out = http.StatusInternalServerError, []byte(`{"__type":"InternalFailure"}`)
	}
	send(w, status, contentType, out)
}

// asAPIError makes an InternalError of what is not one of AWS's.
func asAPIError(err error) *apiError {
	if e, ok := err.(*apiError); ok {
		return e
	}
	return &apiError{"InternalError", err.Error()}
}

// escape makes text fit for XML.
func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return ""
	}
	return b.String()
}

// send writes a whole answer, with its length, so that a connection that breaks is
// seen as such.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	// A client that went away is its own affair.
	_, _ = w.Write(body)
}
