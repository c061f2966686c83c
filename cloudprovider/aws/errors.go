package aws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// noCapacity are the codes by which EC2 says that an offering cannot be had now,
// though it might later.
var noCapacity = []string{
	"InsufficientInstanceCapacity",
	"MaxSpotInstanceCountExceeded",
	"VcpuLimitExceeded",
	"UnfulfillableCapacity",
	"Unsupported",
	codeNoAddresses,
	"MaxFleetCountExceeded",
	"ReservationCapacityExceeded",
	// The account has no service-linked role for spot, and we may not make it: no
	// spot offering can be had.
	"AuthFailure.ServiceLinkedRoleCreationNotPermitted",
}

const (
	codeNoAddresses   = "InsufficientFreeAddressesInSubnet"
	codeTokenMismatch = "IdempotentParameterMismatch"
	codeTemplateThere = "InvalidLaunchTemplateName.AlreadyExistsException"
	codeNoInstance    = "InvalidInstanceID.NotFound"
	codeThrottled     = "RequestLimitExceeded"
)

// code returns the AWS error code in err, "" if there is none.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// isNoCapacity reports whether c says that an offering ran out.
func isNoCapacity(c string) bool { return slices.Contains(noCapacity, c) }

// isTemplateGone reports whether c says that a launch template does not exist.
func isTemplateGone(c string) bool {
	return strings.HasPrefix(c, "InvalidLaunchTemplateName.NotFound") || strings.HasPrefix(c, "InvalidLaunchTemplateId.NotFound")
}

// isAnswer reports whether EC2 refused the request that err is about, so that it
// certainly had no effect. A cut connection and a fault of the server leave that
// open.
func isAnswer(err error) bool {
	c := code(err)
	if c == "" {
		return false
	}
	if c == codeThrottled {
		return true
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return !ok || response.HTTPStatusCode() < 500
}

// saidAt is when EC2 gave the answer that err is about, by its own clock; zero if
// that is not known.
func saidAt(err error) time.Time {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || response.Response == nil || response.Response.Response == nil {
		return time.Time{}
	}
	at, err := http.ParseTime(response.Response.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// A FleetError is an error that came inside of a fleet's answer: the request was
// accepted, and one of its offerings could not be had. It is a smithy.APIError,
// as if EC2 had refused the request with it.
type FleetError struct{ Code, Message string }

// Error returns code and message.
func (e *FleetError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// ErrorCode returns EC2's code: InsufficientInstanceCapacity and so on.
func (e *FleetError) ErrorCode() string { return e.Code }

// ErrorMessage returns EC2's message.
func (e *FleetError) ErrorMessage() string { return e.Message }

// ErrorFault says that the fault is not known.
func (e *FleetError) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

// fleetError converts an error of a fleet's answer.
func fleetError(e types.CreateFleetError) *FleetError {
	return &FleetError{Code: sdk.ToString(e.ErrorCode), Message: sdk.ToString(e.ErrorMessage)}
}
