package apimodel

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// CheckEC2 checks the request that a call would send, and sends nothing: fakes that have no
// wire check their inputs by it. The error is an *Error, or what the SDK itself says.
func CheckEC2(call func(*ec2.Client) error) error {
	held := &holder{}
	err := call(ec2.New(ec2.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}, HTTPClient: held}))
	if held.asked {
		return held.found
	}
	return err
}

// A holder is an HTTP client that holds requests of EC2 against the model.
type holder struct {
	asked bool
	found error
}

var errNotSent = errors.New("the request was checked and not sent")

// Do is the method that the SDK calls.
func (h *holder) Do(r *http.Request) (*http.Response, error) {
	h.asked = true
	body, err := io.ReadAll(r.Body)
	if err == nil {
		var form url.Values
		if form, err = url.ParseQuery(string(body)); err == nil {
			err = CheckForm("ec2", form.Get("Action"), form)
		}
	}
	h.found = err
	return nil, errNotSent
}
