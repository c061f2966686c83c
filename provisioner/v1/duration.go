package v1

import (
	"strings"
	"time"
)

// A Duration is a length of time as a manifest spells it, "1h30m" say, or Never
// where the field allows that. It stays the text that the user wrote, so that an
// object read and written back is unchanged. The empty Duration is unset.
type Duration string

// Never is a time that does not come: a node that does not expire, an empty
// node that is not removed.
const Never Duration = "Never"

// DurationOf spells d in whole seconds, in the form that the CRDs accept: "0s",
// "90m" as "1h30m". A negative d is spelled "0s".
func DurationOf(d time.Duration) Duration {
	d = max(d, 0).Truncate(time.Second)
	if d == 0 {
		return "0s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return Duration(s)
}

// Get returns the length. ok is false when there is none: the Duration is unset,
// Never, or text that is no duration. To a caller all three mean that the time
// does not come, which is the side that keeps nodes; Validate names the last.
func (d Duration) Get() (length time.Duration, ok bool) {
	length, err := time.ParseDuration(string(d))
	if err != nil || length < 0 {
		return 0, false
	}
	return length, true
}

// canonical is the same text for equal durations: hashes are made of it.
func (d Duration) canonical() string {
	if length, ok := d.Get(); ok {
		return length.String()
	}
	return string(d)
}
