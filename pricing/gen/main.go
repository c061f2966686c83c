// Command gen makes the tables that are built into the binary: instance types
// for cloudprovider/aws and prices for pricing. It is run by `make generate`,
// from the folder pricing.
//
// It reads two published Go modules, as files: they are pinned by version and
// hash, fetched by the go command, and no dependencies of the product.
//
//   - ec2-instances-info (data of ec2instances.info, MIT): vCPUs, memory,
//     processor, devices, disks, bandwidths, regions, zones and prices.
//   - amazon-vpc-resource-controller-k8s (Apache-2.0): network interfaces on the
//     default card, branch interfaces, hypervisor.
//
// What neither says, and AWS documents for a few types, stands in facts.go.
// What nobody says is left out: no value is guessed from a similar type. So are
// facts that look like EC2's and are not: the clock speed of the price list is,
// for a third of the families, not the sustained one that EC2 reports. The same
// modules give the same bytes with the same release of Go.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/pricing"
)

// The folders of the tables, from the folder pricing.
const (
	typesFile = "../cloudprovider/aws/catalog/instance-types.json.gz"
	priceDir  = "embedded"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if pricing.EmbeddedDate != instancesModule.date() || aws.EmbeddedDate != instancesModule.date() {
		return fmt.Errorf("EmbeddedDate in pricing and cloudprovider/aws must be %s, the day of %s", instancesModule.date(), instancesModule)
	}
	instances, err := readInstances()
	if err != nil {
		return err
	}
	limits, err := readLimits()
	if err != nil {
		return err
	}
	var types []aws.TypeInfo
	for _, i := range instances {
		t, err := i.typeInfo(limits[i.InstanceType])
		if err != nil {
			return err
		}
		if t.Supported() && len(t.Regions) > 0 {
			types = append(types, t)
		}
	}
	if err := writeTypes(types); err != nil {
		return err
	}
	regions, err := writePrices(instances, types)
	if err != nil {
		return err
	}
	log.Printf("%d of %d instance types, prices of %d regions", len(types), len(instances), regions)
	return nil
}

func writeTypes(types []aws.TypeInfo) error {
	var text bytes.Buffer
	source := instancesModule.String() + ", " + limitsModule.String()
	if err := aws.WriteTypes(&text, types, source, instancesModule.date()); err != nil {
		return err
	}
	return writeCompressed(typesFile, text.Bytes())
}

// writePrices replaces the price tables and returns how many there are.
func writePrices(instances []instance, types []aws.TypeInfo) (int, error) {
	old, err := filepath.Glob(filepath.Join(priceDir, "*.csv.gz"))
	if err != nil {
		return 0, fmt.Errorf("listing old price tables: %w", err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return 0, fmt.Errorf("removing an old price table: %w", err)
		}
	}
	tables, err := priceTables(instances, types)
	if err != nil {
		return 0, err
	}
	for _, t := range tables {
		var text bytes.Buffer
		if err := pricing.WriteCSV(&text, t); err != nil {
			return 0, err
		}
		if err := writeCompressed(filepath.Join(priceDir, t.Region()+".csv.gz"), text.Bytes()); err != nil {
			return 0, err
		}
	}
	return len(tables), nil
}

// writeCompressed writes a gzip file whose bytes depend on text only: its header
// has no name and no time.
func writeCompressed(path string, text []byte) error {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compressing %s: %w", path, err)
	}
	if _, err := z.Write(text); err != nil {
		return fmt.Errorf("compressing %s: %w", path, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compressing %s: %w", path, err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing a table: %w", err)
	}
	return nil
}
