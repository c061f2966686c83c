package sim_test

import (
	"fmt"
	"os"
	"time"
)

func init() {
	debug = func(s *scene) {
		if os.Getenv("SIMTRACE") != "" {
			s.Trace = func(at time.Time, what string) { fmt.Println(at.Format("15:04:05.000"), what) }
		}
	}
}

var debug func(*scene)
