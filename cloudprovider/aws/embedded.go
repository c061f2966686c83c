package aws

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"sync"
)

// EmbeddedDate is the day of which the embedded facts are: that of the
// published data which the generator read.
const EmbeddedDate = "2025-05-28"

// embeddedTypes is a compressed file of the project's own format. See
// pricing/gen, which makes it, for where each fact comes from and which are
// left out because no published module says them.
//
//go:embed catalog/instance-types.json.gz
var embeddedTypes []byte

var decodeEmbedded = sync.OnceValue(func() []TypeInfo {
	types, err := decode(embeddedTypes)
	if err != nil {
		panic(err) // a broken build: the tests decode it
	}
	return types
})

// EmbeddedTypes returns the facts of the instance types that are built into the
// binary, sorted by name: those with an on-demand Linux price in some region,
// as of EmbeddedDate. They are decoded on the first call. The slice is the
// caller's; what its elements point to is shared and read-only.
func EmbeddedTypes() []TypeInfo { return slices.Clone(decodeEmbedded()) }

// embeddedType finds an embedded type by name.
func embeddedType(name string) (TypeInfo, bool) {
	types := decodeEmbedded()
	i, ok := slices.BinarySearchFunc(types, name, func(t TypeInfo, n string) int { return cmp.Compare(t.Name, n) })
	if !ok {
		return TypeInfo{}, false
	}
	return types[i], true
}

func decode(data []byte) ([]TypeInfo, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decoding embedded instance types: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("decoding embedded instance types: %w", err)
	}
	return readOwn(text, "embedded instance types")
}
