package pricing

import "testing"

func TestParseMicroUSD(t *testing.T) {
	for s, want := range map[string]MicroUSD{
		"0.096": 96_000, "0.0960000000": 96_000, "1": 1_000_000, "98.32": 98_320_000, "0.000001": 1, "32.7726": 32_772_600,
		"0.0000005": 1, "0.0000014": 1, "0.0000015": 2, "0.1234564999": 123_456, "0.9999995": 1_000_000, "007.5": 7_500_000,
		"999999.999999": 999_999_999_999,
		// Sums that floating point gets wrong: 0.1 + 0.2, and 1.005 × 10⁶.
		"0.3": 300_000, "1.005": 1_005_000, "4.35": 4_350_000, "2.675": 2_675_000,
	} {
		got, err := ParseMicroUSD(s)
		if got != want || err != nil {
			t.Errorf("ParseMicroUSD(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", ".", ".5", "5.", "0", "0.000000", "0.0000004", "-1", "+1", "1e-3", "1,5", "0x1", "1_000", " 1", "1 ", "$1", "NaN", "Inf", "N/A",
		"1.2.3", "0.-5", "1000000", "99999999999999999999", "١",
	} {
		if got, err := ParseMicroUSD(s); err == nil {
			t.Errorf("ParseMicroUSD(%q) = %d, want an error", s, got)
		}
	}
}

func TestMicroUSDText(t *testing.T) {
	for m, want := range map[MicroUSD][2]string{
		96_000: {"$0.096000", "0.096"}, 1: {"$0.000001", "0.000001"}, 1_000_000: {"$1.000000", "1"}, 12_345_678: {"$12.345678", "12.345678"},
		0: {"$0.000000", "0"}, 10_500_000: {"$10.500000", "10.5"},
	} {
		if m.String() != want[0] || m.decimal() != want[1] {
			t.Errorf("%d is written %q and %q, want %q", int64(m), m.String(), m.decimal(), want)
		}
	}
	if got := MicroUSD(-96_000).String(); got != "-$0.096000" {
		t.Errorf("a negative price is written %q", got)
	}
}

func FuzzParseMicroUSD(f *testing.F) {
	for _, s := range []string{"0.096", "1", "0.0000005", "-1", "1e3", "999999.9999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMicroUSD(s)
		if err != nil {
			return
		}
		if m <= 0 {
			t.Fatalf("ParseMicroUSD(%q) = %d", s, m)
		}
		if again, err := ParseMicroUSD(m.decimal()); m < maxDollars*1e6 && (again != m || err != nil) {
			t.Fatalf("ParseMicroUSD(%q) = %d, written %q, read %d, %v", s, m, m.decimal(), again, err)
		}
	})
}

// TestParseAmount: an amount is read as a price is, and may be nothing.
func TestParseAmount(t *testing.T) {
	for s, want := range map[string]MicroUSD{"0": 0, "0.0000004": 0, "0.25": 250_000} {
		if got, err := ParseAmount(s); got != want || err != nil {
			t.Errorf("ParseAmount(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", ".5", "1000000"} {
		if got, err := ParseAmount(s); err == nil {
			t.Errorf("ParseAmount(%q) = %d, want an error", s, got)
		}
	}
}
