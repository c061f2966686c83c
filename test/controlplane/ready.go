package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// awaitOK returns once each of urls in turn has answered 200. It gives up when
// ctx ends, or when a program has. All programs show the same certificate, so
// the administrator's client may ask each of them.
func (cp *ControlPlane) awaitOK(ctx context.Context, urls ...string) error {
	for _, url := range urls {
		for {
			answer, err := cp.ask(ctx, url)
			if err == nil && answer == http.StatusOK {
				break
			}
			// A refused connection is what there is to see until the program listens;
			// it only becomes an error with the end of ctx.
			select {
			case <-cp.done:
				return cp.err
			case <-ctx.Done():
				if err == nil {
					err = fmt.Errorf("the last answer was %d", answer)
				}
				return fmt.Errorf("waiting for %s: %w (%w)", url, context.Cause(ctx), err)
			case <-time.After(30 * time.Millisecond):
			}
		}
	}
	return nil
}

// ask returns the status of one answer. A program that hangs is asked again.
func (cp *ControlPlane) ask(ctx context.Context, url string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := cp.client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
