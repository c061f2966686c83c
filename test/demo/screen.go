package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A screen shows one line that changes: in place on a terminal, and elsewhere as
// a new line for each change.
type screen struct {
	begun time.Time
	last  string
	noted string
	live  bool
}

// begin starts an act.
func (s *screen) begin(title string) {
	info, err := os.Stdout.Stat()
	s.live = err == nil && info.Mode()&os.ModeCharDevice != 0
	s.begun, s.last, s.noted = time.Now(), "", ""
	fmt.Printf("\n%s\n", title)
}

// draw shows the picture if it differs from the last.
func (s *screen) draw(p picture) {
	line := p.line()
	stamp := fmt.Sprintf("%5.1f s  ", time.Since(s.begun).Seconds())
	switch {
	case s.live:
		fmt.Print("\r" + stamp + line + strings.Repeat(" ", max(0, len(s.last)-len(line))))
	case line != s.last:
		fmt.Println(stamp + line)
	}
	s.last = line
}

// note shows a remark on lines of its own, if it differs from the last.
func (s *screen) note(remark string) {
	if remark == s.noted {
		return
	}
	if s.live && s.last != "" {
		fmt.Println()
		s.last = "" // drawn anew below the remark
	}
	fmt.Println("         " + strings.ReplaceAll(remark, "\n", "\n         "))
	s.noted = remark
}

// end leaves the last line standing.
func (s *screen) end() {
	if s.live {
		fmt.Println()
	}
}
