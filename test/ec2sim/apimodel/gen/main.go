// Command gen writes the API model from what AWS publishes.
//
//	go run ./test/ec2sim/apimodel/gen model.json
//
// Members, required members and enums are read from the SDK that this module is linked with:
// types by reflection (merge.go), what is said only in comments and in the code that
// writes requests from its source (source.go). Lengths, ranges and patterns are read from the
// models that the last release of aws-sdk-go carries (earlier.go), which the Go command
// fetches; a few are only in AWS's documentation (documented.go). Equal versions give equal bytes.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	"github.com/aws/aws-sdk-go-v2/service/savingsplans"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stowage-sh/stowage/test/ec2sim/apimodel"
)

// A subject is a service: the version of its API, and the inputs of its operations.
type subject struct {
	version string // as the folder of the earlier model is called
	inputs  []any
}

// subjects are all operations that the simulator answers.
var subjects = map[string]subject{
	"ec2": {"2016-11-15", []any{
		ec2.CreateFleetInput{}, ec2.CreateLaunchTemplateInput{}, ec2.CreateTagsInput{}, ec2.DeleteLaunchTemplateInput{},
		ec2.DescribeAvailabilityZonesInput{}, ec2.DescribeCapacityReservationsInput{}, ec2.DescribeImagesInput{}, ec2.DescribeInstanceStatusInput{},
		ec2.DescribeInstanceTypeOfferingsInput{}, ec2.DescribeInstanceTypesInput{}, ec2.DescribeInstancesInput{}, ec2.DescribeLaunchTemplatesInput{},
		ec2.DescribePlacementGroupsInput{}, ec2.DescribeReservedInstancesInput{}, ec2.DescribeSecurityGroupsInput{}, ec2.DescribeSpotPriceHistoryInput{}, ec2.DescribeSubnetsInput{},
		ec2.RunInstancesInput{}, ec2.TerminateInstancesInput{},
	}},
	"eks": {"2017-11-01", []any{eks.DescribeClusterInput{}}},
	"iam": {"2010-05-08", []any{
		iam.AddRoleToInstanceProfileInput{}, iam.CreateInstanceProfileInput{}, iam.DeleteInstanceProfileInput{}, iam.GetInstanceProfileInput{},
		iam.ListInstanceProfilesInput{}, iam.RemoveRoleFromInstanceProfileInput{}, iam.TagInstanceProfileInput{},
	}},
	"pricing":      {"2017-10-15", []any{pricing.GetProductsInput{}}},
	"savingsplans": {"2019-06-28", []any{savingsplans.DescribeSavingsPlansInput{}, savingsplans.DescribeSavingsPlanRatesInput{}}},
	"sqs":          {"2012-11-05", []any{sqs.DeleteMessageInput{}, sqs.GetQueueUrlInput{}, sqs.ReceiveMessageInput{}}},
	"ssm":          {"2014-11-06", []any{ssm.GetParameterInput{}}},
	"sts":          {"2011-06-15", []any{sts.GetCallerIdentityInput{}}},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	data, err := generate()
	if err == nil {
		err = os.WriteFile(os.Args[1], data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate returns the model as JSON, one structure or enum a line, so that what an update
// changes can be read.
func generate() ([]byte, error) {
	dir, err := fetch()
	if err != nil {
		return nil, err
	}
	m := apimodel.Model{Services: map[string]apimodel.Service{}}
	m.Sources = append(m.Sources, earlier+": lengths, ranges and patterns")
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		s := subjects[name]
		old, err := readEarlier(dir, name, s.version)
		if err != nil {
			return nil, err
		}
		src, err := readSource(reflect.TypeOf(s.inputs[0]).PkgPath())
		if err != nil {
			return nil, err
		}
		m.Sources = append(m.Sources, src.module+": members, required members and enums of "+name)
		g := merger{name: name, old: old, source: src, out: apimodel.Service{
			Operations: map[string]string{}, Structures: map[string]map[string]apimodel.Member{}, Enums: map[string][]string{},
		}}
		for _, in := range s.inputs {
			if err := g.operation(reflect.TypeOf(in)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		if unused := documented.unused(name); len(unused) > 0 {
			return nil, fmt.Errorf("%s has no %s, of which a bound is documented", name, unused[0])
		}
		m.Services[name] = g.out
	}
	return lines(m)
}

// lines spells the model with a line for each structure and enum.
func lines(m apimodel.Model) ([]byte, error) {
	var b bytes.Buffer
	put := func(v any) error {
		data, err := json.Marshal(v)
		b.Write(data)
		return err
	}
	b.WriteString("{\"Sources\":")
	if err := put(m.Sources); err != nil {
		return nil, err
	}
	b.WriteString(",\n\"Services\":{")
	for i, name := range slices.Sorted(maps.Keys(m.Services)) {
		s := m.Services[name]
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n%q:{\"Operations\":", name)
		if err := put(s.Operations); err != nil {
			return nil, err
		}
		if err := section(&b, "Structures", s.Structures, put); err != nil {
			return nil, err
		}
		if err := section(&b, "Enums", s.Enums, put); err != nil {
			return nil, err
		}
		b.WriteString("}")
	}
	b.WriteString("\n}}\n")
	return b.Bytes(), nil
}

// section writes one map, an entry a line.
func section[T any](b *bytes.Buffer, title string, entries map[string]T, put func(any) error) error {
	fmt.Fprintf(b, ",\n %q:{", title)
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(b, "\n  %q:", key)
		if err := put(entries[key]); err != nil {
			return err
		}
	}
	b.WriteString("}")
	return nil
}
