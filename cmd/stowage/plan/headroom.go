package plan

import (
	"slices"

	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// addHeadroom adds to the question what CapacityBuffers ask for, as pods that come after all others,
// and notes the buffers that ask for nothing. The controller decides about pods first and about
// headroom then; here it is one decision, which may cost a little less.
func (p *Plan) addHeadroom(question *problem.Input, served problem.Schedulers) {
	asks := headroom.Asks(question.Snapshot)
	for _, a := range asks {
		switch {
		case a.Reason != "":
			p.note("CapacityBuffer %s is left out: %s", a.Key(), a.Message)
		case a.Quotas != "":
			p.note("CapacityBuffer %s: %s", a.Key(), a.Quotas)
		}
	}
	asks = slices.DeleteFunc(asks, func(a headroom.Ask) bool { return a.Pod == nil || !served.Serve(a.Pod) })
	p.headroom = headroom.Pods(asks)
	question.Pods = append(question.Pods, p.headroom...)
}
