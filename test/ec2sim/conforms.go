package ec2sim

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// conforms holds a request against the service's own API model, before anything looks at
// it. An operation that the model does not have is left to the service, which does not
// know it either.
func conforms(q request) error {
	if _, known := apimodel.Operations()[q.service][q.action]; !known {
		return nil
	}
	var err error
	switch q.service {
	case "ec2", "iam", "sts":
		err = apimodel.CheckForm(q.service, q.action, q.form)
	case "eks":
		// Its one operation has its one member in the path.
		var body []byte
		if body, err = json.Marshal(map[string]string{"name": strings.TrimPrefix(q.http.URL.Path, "/clusters/")}); err == nil {
			err = apimodel.CheckJSON(q.service, q.action, body)
		}
	default:
		err = apimodel.CheckJSON(q.service, q.action, q.body)
	}
	if bad, ok := errors.AsType[*apimodel.Error](err); ok {
		code := nonconforming(q.service, bad.Kind)
		if bad.Kind == apimodel.Invalid && strings.HasSuffix(bad.Member, "LaunchTemplateName") {
			code = "InvalidLaunchTemplateName.MalformedException"
		}
		return &apiError{code, bad.Error()}
	}
	return err
}

// nonconforming is the code with which a service refuses a request of the wrong form.
func nonconforming(service, kind string) string {
	switch {
	case service == "iam" || service == "sts":
		return "ValidationError"
	case service != "ec2" && service != "sqs":
		return "ValidationException"
	case kind == apimodel.Unknown:
		return "UnknownParameter"
	case kind == apimodel.Missing:
		return "MissingParameter"
	}
	return "InvalidParameterValue"
}
