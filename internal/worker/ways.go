package worker

import (
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/wire"
)

// Ways finds how registries are reached, as grants say, for others than a Worker. It is
// safe for concurrent use.
type Ways struct{ routes routes }

// NewWays reaches registries as base says where a grant says nothing else.
func NewWays(base oci.Config) *Ways { return &Ways{routes{base: base}} }

// To is the way to the registry of a grant. Its error is an Invalid fault.
func (w *Ways) To(grant wire.Grant) (*oci.Route, error) { return w.routes.to(grant) }
