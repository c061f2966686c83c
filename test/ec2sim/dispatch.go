package ec2sim

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A request is one call, told apart by service and action.
type request struct {
	id, service, region, action string
	form                        url.Values // of a Query service
	body                        []byte     // of a JSON service
	http                        *http.Request
}

// maxBody is more than any request that AWS accepts.
const maxBody = 4 << 20

// distance is how long an answer takes at the least. It is not there for looks:
// the SDK closes the body of its request when the answer comes, and where that is
// before net/http has seen the body's end, the connection breaks in the middle of
// a long answer. No real region is so near that this happens.
const distance = 2 * time.Millisecond

// ServeHTTP answers one call: it tells the service from the signature, lets the
// faults that were asked for have their way, and hands on to the service.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := s.read(r)
	if err != nil {
		writeEC2(w, q.id, "", nil, err)
		return
	}
	// What the call meets is decided before it is answered, so that a denied or
	// throttled call has no effect.
	held, err := s.meet(q)
	if !s.pause(r, held.wait+distance) {
		return
	}
	var body any
	if err == nil {
		err = conforms(q)
	}
	if err == nil {
		body, err = s.serve(q)
	}
	if err != nil {
		s.opts.Logf("%s %s: %v", q.service, q.action, err)
	}
	// Outside the lock, since what a test does here may well call the server.
	for _, f := range held.after {
		f()
	}
	if held.drop {
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
	switch q.service {
	case "ec2":
		writeEC2(w, q.id, q.action, body, err)
	case "iam", "sts":
		writeQuery(w, q, body, err)
	case "eks", "savingsplans":
		writeJSON(w, "application/json", body, err)
	case "sqs":
		writeJSON(w, "application/x-amz-json-1.0", body, err)
	default:
		writeJSON(w, "application/x-amz-json-1.1", body, err)
	}
}

// pause waits, and says whether the caller still waits too.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return false
}

// read tells what is called, from the signature's scope
// (…/region/service/aws4_request) and what the service's protocol says.
func (s *Server) read(r *http.Request) (request, error) {
	s.mu.Lock()
	q := request{id: s.requestID(), http: r}
	s.mu.Unlock()
	// One port serves all services. The signature is the one thing that every SDK sends
	// and that names service and region, whatever the protocol. It is not checked: there
	// is no secret to check it with.
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return q, fail("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	q.region, q.service = parts[2], parts[3]
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return q, fail("RequestTimeout", "reading the request: %v", err)
	}
	q.body = body
	switch q.service {
	case "ec2", "iam", "sts":
		q.form, err = url.ParseQuery(string(body))
		if err != nil {
			return q, fail("MalformedQueryString", "The query string contains a syntax error: %v", err)
		}
		q.action = q.form.Get("Action")
	case "eks":
		q.action = eksAction(r)
	case "savingsplans":
		q.action = strings.TrimPrefix(r.URL.Path, "/")
	default:
		_, q.action, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	}
	return q, nil
}

// requestID makes a UUID. The caller holds the lock.
func (s *Server) requestID() string {
	s.serial++
	return fmt.Sprintf("00000000-0000-4000-a000-%012x", s.serial)
}

// serve has the service answer. All but SQS, which waits, do so under the lock.
func (s *Server) serve(q request) (any, error) {
	if q.service == "sqs" {
		return s.serveSQS(q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.service {
	case "ec2":
		return s.serveEC2(q)
	case "iam":
		return s.serveIAM(q)
	case "sts":
		return s.serveSTS(q)
	case "ssm":
		return s.serveSSM(q)
	case "pricing":
		return s.servePricing(q)
	case "eks":
		return s.serveEKS(q)
	case "savingsplans":
		return s.serveSavingsPlans(q)
	}
	return nil, fail("UnknownService", "The service %q is not simulated", q.service)
}

// An ec2Action answers one action of EC2, under the lock.
type ec2Action func(*Server, params) (any, error)

// ec2Actions are all actions of EC2 that are simulated; any other is an
// InvalidAction, as a misspelled one would be.
var ec2Actions = map[string]ec2Action{
	"CreateFleet":                   (*Server).createFleet,
	"CreateLaunchTemplate":          (*Server).createLaunchTemplate,
	"CreateTags":                    (*Server).createTags,
	"DeleteLaunchTemplate":          (*Server).deleteLaunchTemplate,
	"DescribeAvailabilityZones":     (*Server).describeAvailabilityZones,
	"DescribeCapacityReservations":  (*Server).describeCapacityReservations,
	"DescribeImages":                (*Server).describeImages,
	"DescribeInstanceStatus":        (*Server).describeInstanceStatus,
	"DescribeInstanceTypeOfferings": (*Server).describeInstanceTypeOfferings,
	"DescribeInstanceTypes":         (*Server).describeInstanceTypes,
	"DescribeInstances":             (*Server).describeInstances,
	"DescribeLaunchTemplates":       (*Server).describeLaunchTemplates,
	"DescribePlacementGroups":       (*Server).describePlacementGroups,
	"DescribeReservedInstances":     (*Server).describeReservedInstances,
	"DescribeSecurityGroups":        (*Server).describeSecurityGroups,
	"DescribeSpotPriceHistory":      (*Server).describeSpotPriceHistory,
	"DescribeSubnets":               (*Server).describeSubnets,
	"RunInstances":                  (*Server).runInstances,
	"TerminateInstances":            (*Server).terminateInstances,
}

// ec2Version is the only version of the API that is spoken.
const ec2Version = "2016-11-15"

// serveEC2 checks what is common to all actions, and hands on. A dry run of an
// action that only reads ends here.
func (s *Server) serveEC2(q request) (any, error) {
	if q.region != s.opts.Region {
		return nil, fail("AuthFailure", "Credential should be scoped to a valid region (%s), not %s", s.opts.Region, q.region)
	}
	action, ok := ec2Actions[q.action]
	if !ok {
		return nil, fail("InvalidAction", "The action %s is not valid for this web service.", q.action)
	}
	if v := q.form.Get("Version"); v != ec2Version {
		return nil, fail("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", v)
	}
	p := params{form: q.form}
	out, err := action(s, p)
	if err == nil && p.boolean("DryRun") {
		// Actions that change something ask dryRun before they do.
		return nil, errDryRun
	}
	return out, err
}

// errDryRun is the good answer to a dry run: EC2 has no other.
var errDryRun = &apiError{"DryRunOperation", "Request would have succeeded, but DryRun flag is set."}
