package ec2sim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// eksAction names the operation behind a REST path.
func eksAction(r *http.Request) string {
	if name, ok := strings.CutPrefix(r.URL.Path, "/clusters/"); ok && r.Method == http.MethodGet && !strings.Contains(name, "/") {
		return "DescribeCluster"
	}
	return r.Method + " " + r.URL.Path
}

// serveEKS answers DescribeCluster.
func (s *Server) serveEKS(q request) (any, error) {
	if q.action != "DescribeCluster" {
		return nil, fail("InvalidRequestException", "The operation %s is not simulated", q.action)
	}
	name := strings.TrimPrefix(q.http.URL.Path, "/clusters/")
	c := s.opts.Cluster
	if name != c.Name {
		return nil, fail("ResourceNotFoundException", "No cluster found for name: %s.", name)
	}
	var subnets []string
	for _, n := range s.world.Subnets {
		subnets = append(subnets, n.ID)
	}
	// Platform, logging and the like are left out: nodes do not need them to join.
	return map[string]any{"cluster": map[string]any{
		"name": c.Name, "arn": "arn:aws:eks:" + s.opts.Region + ":" + s.opts.Account + ":cluster/" + c.Name,
		"version": c.Version, "endpoint": c.Endpoint, "status": "ACTIVE",
		"certificateAuthority":    map[string]string{"data": base64.StdEncoding.EncodeToString(c.CA)},
		"kubernetesNetworkConfig": map[string]string{"serviceIpv4Cidr": c.ServiceCIDR, "ipFamily": "ipv4"},
		"resourcesVpcConfig":      map[string]any{"vpcId": s.world.VPC, "subnetIds": subnets},
	}}, nil
}

// recommended is how a parameter name asks for the newest image, and latest how it
// does for Bottlerocket.
const (
	recommended = "/recommended/image_id"
	latest      = "/latest/image_id"
)

// serveSSM answers GetParameter for the images' public parameters.
func (s *Server) serveSSM(q request) (any, error) {
	if q.action != "GetParameter" {
		return nil, fail("InvalidAction", "The operation %s is not simulated", q.action)
	}
	var in struct{ Name string }
	if err := json.Unmarshal(q.body, &in); err != nil {
		return nil, fail("SerializationException", "reading the request: %v", err)
	}
	found, at := s.parameter(in.Name)
	if found == "" {
		return nil, fail("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	return map[string]any{"Parameter": map[string]any{
		"Name": in.Name, "Type": "String", "Value": found, "Version": 1, "DataType": "text", "LastModifiedDate": at.Unix(),
		"ARN": "arn:aws:ssm:" + s.opts.Region + "::parameter" + in.Name,
	}}, nil
}

// parameter is the image that a parameter names: by release, or the newest that
// is not deprecated when it says so.
func (s *Server) parameter(name string) (id string, at time.Time) {
	// Deprecated images keep their parameter, so that a release that is pinned by name
	// is still found when its successor is out.
	prefix, newest := strings.CutSuffix(name, recommended)
	if !newest {
		prefix, newest = strings.CutSuffix(name, latest)
	}
	for _, m := range s.world.Images {
		switch {
		case m.Parameter == "":
		case newest && strings.HasPrefix(m.Parameter, prefix+"/") && !m.Deprecated && m.Created.After(at):
			id, at = m.ID, m.Created
		case !newest && m.Parameter == name:
			return m.ID, m.Created
		}
	}
	return id, at
}

// Release adds an image to the account, or to Amazon's, while the server runs.
func (s *Server) Release(m Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.Images = append(s.world.Images, m)
}

// Deprecate marks an image as deprecated.
func (s *Server) Deprecate(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.world.Images {
		if s.world.Images[i].ID == id {
			s.world.Images[i].Deprecated = true
		}
	}
}
