package aws

import "testing"

// BenchmarkDecodeEmbedded is what the first use of the embedded types costs.
func BenchmarkDecodeEmbedded(b *testing.B) {
	for b.Loop() {
		if _, err := decode(embeddedTypes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuildCatalog is what a catalog of three zones costs.
func BenchmarkBuildCatalog(b *testing.B) {
	types := EmbeddedTypes()
	zones := []Zone{{Name: "us-east-1a"}, {Name: "us-east-1b"}, {Name: "us-east-1c"}}
	for b.Loop() {
		if _, err := BuildCatalog(types, CatalogOptions{Region: "us-east-1", Zones: zones, VMMemoryOverheadPercent: UsualMemoryOverhead}); err != nil {
			b.Fatal(err)
		}
	}
}
