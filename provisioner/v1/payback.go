package v1

import (
	"errors"
	"time"
)

// ConsolidationPaybackDefault is argued for in docs/consolidation.md.
const ConsolidationPaybackDefault = 30 * time.Minute

// ConsolidationPayback is the time within which the savings from nodes of the pool that are given up
// or replaced have to pay for moving their pods. The annotation AnnotationConsolidationPayback says
// it, "30m" say; without it, it is ConsolidationPaybackDefault. At 0 any saving will do.
func (p *NodePool) ConsolidationPayback() (time.Duration, error) {
	said, ok := p.Annotations[AnnotationConsolidationPayback]
	if !ok {
		return ConsolidationPaybackDefault, nil
	}
	d, ok := Duration(said).Get()
	if !ok {
		return 0, errors.New("must be a length of time, such as 30m or 0s")
	}
	return d, nil
}
