package disrupt

import (
	"time"
)

// A wave is how many nodes of one NodePool are replaced at a time for having drifted. What is
// wrong with a change, its first node shows: so it begins with one, each node that was replaced
// makes it larger by one, which doubles it from wave to wave, and a replacement that failed
// makes it one again, after a pause that doubles as well. It is lost with the process, and
// begins with one again then.
type wave struct {
	size     int
	failures int
	until    time.Time // no node is chosen before
}

// The shortest and the longest pause after failures.
const firstPause, longestPause = time.Minute, time.Hour

// left is how many more nodes may be chosen while under way are being replaced.
func (w *wave) left(now time.Time, underWay int) int {
	if now.Before(w.until) {
		return 0
	}
	return max(0, max(1, w.size)-underWay)
}

// succeeded notes that a replacement was ready.
func (w *wave) succeeded() { w.size, w.failures, w.until = max(1, w.size)+1, 0, time.Time{} }

// failed notes that replacements did not come, and returns how long no other is tried.
func (w *wave) failed(now time.Time) time.Duration {
	if now.Before(w.until) { // of the same wave
		return w.until.Sub(now)
	}
	pause := min(longestPause, firstPause<<min(w.failures, 10))
	w.size, w.failures, w.until = 1, w.failures+1, now.Add(pause)
	return pause
}

// wave returns that of a NodePool.
func (c *Controller) wave(pool string) *wave {
	if c.waves == nil {
		c.waves = map[string]*wave{}
	}
	if c.waves[pool] == nil {
		c.waves[pool] = &wave{}
	}
	return c.waves[pool]
}
