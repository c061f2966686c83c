package nodepool

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// AnnotationFailures on a NodePool counts the launches in a row that did not
// become nodes, and the time of the last: "3@2026-03-02T10:00:00Z". It stands on
// the object so that a restart does not forget it.
const AnnotationFailures = "stowage.sh/registration-failures"

// The first wait after a failure, and the longest: they double in between.
const (
	firstBackoff = time.Minute
	maxBackoff   = time.Hour
)

// Backoff says how long a NodePool must wait because its machines did not become
// nodes: until then it buys nothing. After that, as long as failures is above 0,
// one NodeClaim at a time may be under way as a probe, until one registers. The
// zero time and 0 mean that there is nothing to wait for. One failure waits a
// minute; each further one doubles it, up to an hour.
//
// An annotation that cannot be read counts as no failure: it is a user's edit,
// and the way to lift the wait by hand is to remove it.
func Backoff(pool *v1.NodePool) (until time.Time, failures int) {
	n, last, ok := readFailures(pool)
	if !ok {
		return time.Time{}, 0
	}
	wait := maxBackoff
	if n <= 6 { // 2^6 minutes are past the hour
		wait = min(maxBackoff, firstBackoff<<(n-1))
	}
	return last.Add(wait), n
}

func readFailures(pool *v1.NodePool) (n int, last time.Time, ok bool) {
	count, at, found := strings.Cut(pool.Annotations[AnnotationFailures], "@")
	if !found {
		return 0, time.Time{}, false
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return 0, time.Time{}, false
	}
	last, err = time.Parse(time.RFC3339, at)
	return n, last, err == nil
}

// NoteFailure counts on a NodePool that claim did not become a node. A claim made
// before the last failure was noted is the same round of buying, not a repetition
// after it, and is not counted again: a hundred claims that fail together are
// one failure.
func NoteFailure(ctx context.Context, w state.Writer, now time.Time, pool *v1.NodePool, claim *v1.NodeClaim) error {
	n, last, ok := readFailures(pool)
	if ok && !claim.CreationTimestamp.After(last) {
		return nil
	}
	return annotate(ctx, w, pool, fmt.Sprintf("%d@%s", n+1, now.UTC().Format(time.RFC3339)))
}

// NoteSuccess clears the count: a claim of the pool became a node.
func NoteSuccess(ctx context.Context, w state.Writer, pool *v1.NodePool) error {
	if _, ok := pool.Annotations[AnnotationFailures]; !ok {
		return nil
	}
	return annotate(ctx, w, pool, "")
}

// annotate writes the annotation, or removes it where value is empty. A pool
// that is gone has nothing left to remember.
func annotate(ctx context.Context, w state.Writer, pool *v1.NodePool, value string) error {
	next := pool.DeepCopy()
	if value == "" {
		delete(next.Annotations, AnnotationFailures)
	} else {
		if next.Annotations == nil {
			next.Annotations = map[string]string{}
		}
		next.Annotations[AnnotationFailures] = value
	}
	if err := w.Patch(ctx, next, client.MergeFrom(pool)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("noting registration failures of NodePool %s: %w", pool.Name, err)
	}
	return nil
}
