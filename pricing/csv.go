package pricing

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// header of a price file, in this order.
var header = []string{"region", "type", "zone", "capacityType", "usdPerHour"}

// ReadCSV reads the prices of one region from a price file: comma-separated
// with the header
//
//	region,type,zone,capacityType,usdPerHour
//
// where an empty zone means every zone of the region, and capacityType is
// on-demand or spot, with +dedicated after it for machines on hardware that is not shared. Lines that begin with # are comments. Rows of other
// regions are checked and left out; a file without a row of the region is an
// error, as is an offering that stands twice. Errors begin with name, which is
// the file's, the line and the column, counted in bytes from 1.
func ReadCSV(r io.Reader, name, region string) (*Table, error) {
	in := csv.NewReader(r)
	in.Comment = '#'
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	if err := readHeader(in, name); err != nil {
		return nil, err
	}
	prices := map[cloudprovider.Offering]MicroUSD{}
	lines := map[cloudprovider.Offering]int{}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, syntaxError(name, err)
		}
		o, price, err := parseRow(record)
		if err != nil {
			return nil, at(in, name, err)
		}
		if record[0] != region {
			continue
		}
		line, _ := in.FieldPos(0)
		if first, twice := lines[o]; twice {
			return nil, fmt.Errorf("%s:%d:1: %s has a price on line %d already", name, line, describe(o), first)
		}
		prices[o], lines[o] = price, line
	}
	if len(prices) == 0 {
		return nil, fmt.Errorf("%s: no price of region %s", name, region)
	}
	return NewTable(region, name, prices), nil
}

// WriteCSV writes a price file that ReadCSV reads, in the order of the offerings.
func WriteCSV(w io.Writer, t *Table) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return fmt.Errorf("writing prices: %w", err)
	}
	for o, p := range t.All() {
		capacityType := o.CapacityType
		if o.Tenancy != "" {
			capacityType += "+" + o.Tenancy
		}
		if err := out.Write([]string{t.region, o.InstanceType, o.Zone, capacityType, p.decimal()}); err != nil {
			return fmt.Errorf("writing prices: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing prices: %w", err)
	}
	return nil
}

// A fieldError is what is wrong with one field of a row.
type fieldError struct {
	field   int // index into header
	problem string
}

func (e *fieldError) Error() string { return header[e.field] + ": " + e.problem }

func parseRow(record []string) (cloudprovider.Offering, MicroUSD, error) {
	if len(record) != len(header) {
		return cloudprovider.Offering{}, 0, fmt.Errorf("%d fields, want %d: %s", len(record), len(header), strings.Join(header, ","))
	}
	region := record[0]
	capacityType, tenancy, alone := strings.Cut(record[3], "+")
	o := cloudprovider.Offering{InstanceType: record[1], Zone: record[2], CapacityType: capacityType, Tenancy: tenancy}
	if region == "" {
		return o, 0, &fieldError{0, "is empty"}
	}
	if o.InstanceType == "" {
		return o, 0, &fieldError{1, "is empty"}
	}
	if !strings.HasPrefix(o.Zone, region) && o.Zone != "" {
		return o, 0, &fieldError{2, fmt.Sprintf("%q is not a zone of region %s", o.Zone, region)}
	}
	if o.CapacityType != cloudprovider.OnDemand && o.CapacityType != cloudprovider.Spot {
		return o, 0, &fieldError{3, fmt.Sprintf("%q is neither on-demand nor spot", o.CapacityType)}
	}
	if alone && tenancy != cloudprovider.Dedicated {
		return o, 0, &fieldError{3, fmt.Sprintf("%q: the only tenancy that has a price of its own is %s", record[3], cloudprovider.Dedicated)}
	}
	price, err := ParseMicroUSD(record[4])
	if err != nil {
		return o, 0, &fieldError{4, err.Error()}
	}
	// The reader reuses its record, but strings are immutable and safe to keep;
	// cloning lets go of the whole line that they are parts of.
	o = cloudprovider.Offering{
		InstanceType: strings.Clone(o.InstanceType), Zone: strings.Clone(o.Zone), CapacityType: strings.Clone(o.CapacityType), Tenancy: strings.Clone(o.Tenancy),
	}
	return o, price, nil
}

func readHeader(in *csv.Reader, name string) error {
	record, err := in.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: is empty; the first line must be %s", name, strings.Join(header, ","))
	}
	if err != nil {
		return syntaxError(name, err)
	}
	record[0] = strings.TrimPrefix(record[0], "\ufeff") // as spreadsheets write it
	if !slices.Equal(record, header) {
		line, column := in.FieldPos(0)
		return fmt.Errorf("%s:%d:%d: the header is %q, want %q", name, line, column, strings.Join(record, ","), strings.Join(header, ","))
	}
	return nil
}

// at puts the place of the row, or of the field that is wrong, before err.
func at(in *csv.Reader, name string, err error) error {
	field := 0
	if wrong, ok := errors.AsType[*fieldError](err); ok {
		field = wrong.field
	}
	line, column := in.FieldPos(field)
	return fmt.Errorf("%s:%d:%d: %w", name, line, column, err)
}

// syntaxError gives an error of the CSV syntax the form of the others.
func syntaxError(name string, err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d:%d: %w", name, wrong.Line, wrong.Column, wrong.Err)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

func describe(o cloudprovider.Offering) string {
	if o.Zone == "" {
		return o.InstanceType + " " + o.CapacityType + " in all zones"
	}
	return o.InstanceType + " " + o.CapacityType + " in " + o.Zone
}
