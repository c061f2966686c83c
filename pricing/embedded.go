package pricing

import (
	"compress/gzip"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider/aws/region"
)

// EmbeddedDate is the day of which the embedded prices are: that of the
// published data which the generator read.
const EmbeddedDate = "2025-05-28"

// tables holds a compressed price file for each region, REGION.csv.gz, as
// WriteCSV writes it. On-demand prices are Linux, shared tenancy. Spot prices
// are one per type and region, without zone: the source lists the prices of a
// region's zones without saying which is whose, so the table has their upper
// median; where it lists none, the monthly average that it gives instead.
//
//go:embed embedded/*.csv.gz
var tables embed.FS

// Regions returns the regions that have embedded prices, sorted.
func Regions() []string {
	files, err := fs.Glob(tables, "embedded/*.csv.gz")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".csv.gz"))
	}
	return names
}

// Embedded returns the prices of a region that are built into the binary, as of
// EmbeddedDate. An unknown region is a *region.UnknownError, which names those
// that are spelled alike.
func Embedded(name string) (*Table, error) {
	if err := region.Check(name); err != nil {
		return nil, err
	}
	f, err := tables.Open("embedded/" + name + ".csv.gz")
	if err != nil {
		return nil, fmt.Errorf("there are no embedded prices for region %s: give a price file", name)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading embedded prices of %s: %w", name, err)
	}
	t, err := ReadCSV(z, "embedded prices of "+EmbeddedDate, name)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.DateOnly, EmbeddedDate)
	if err != nil {
		panic(err) // it is a constant
	}
	return t.heldAt(at), nil
}
