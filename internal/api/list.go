package api

import (
	"strconv"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/wire"
)

// Page is the part of a list that is asked for. It is exported for huma, which
// fills in nothing else.
type Page struct {
	Limit  int `query:"limit" minimum:"0" doc:"How many; 0 or absent: the default"`
	Offset int `query:"offset" minimum:"0" doc:"How many to leave out"`
}

// rows is the page for a service.
func (p Page) rows() execution.Page { return execution.Page{Limit: p.Limit, Offset: p.Offset} }

// listOf is a page of a list of count things, with the addresses of its
// neighbours.
func listOf[T any](v *visit, p Page, results []T, count int) wire.List[T] {
	if results == nil {
		results = []T{}
	}
	list := wire.List[T]{Count: count, Results: results}
	if after := p.Offset + len(results); len(results) > 0 && after < count {
		list.Next = v.at(after)
	}
	if p.Offset > 0 {
		size := p.Limit
		if size == 0 {
			size = max(1, len(results))
		}
		list.Previous = v.at(max(0, p.Offset-size))
	}
	return list
}

// pageOf cuts the page out of a whole list.
func pageOf[T any](v *visit, p Page, all []T) wire.List[T] {
	results := all[min(p.Offset, len(all)):]
	if p.Limit > 0 {
		results = results[:min(p.Limit, len(results))]
	}
	return listOf(v, p, results, len(all))
}

// at is the address of the same list from an offset on.
func (v *visit) at(offset int) *string {
	address := v.with("offset", strconv.Itoa(offset))
	return &address
}

// with is the address that was asked for with another value of a parameter.
func (v *visit) with(name, value string) string {
	there := *v.url
	query := there.Query()
	query.Set(name, value)
	there.RawQuery = query.Encode()
	return v.origin + there.RequestURI()
}

// each turns a list into another.
func each[A, B any](in []A, turn func(A) B) []B {
	out := make([]B, len(in))
	for i, item := range in {
		out[i] = turn(item)
	}
	return out
}
