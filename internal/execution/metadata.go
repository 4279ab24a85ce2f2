package execution

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// Metadatum is what a command told of itself: a JSON object that stood alone on
// a line of its standard output.
type Metadatum struct {
	Number int64 // from 1, in order
	Time   time.Time
	Body   json.RawMessage
}

// MetadatumMost is the longest line that is looked at, in bytes. Longer ones are
// still in the log.
const MetadatumMost = 64 << 10

// metadataMost is how many are listed at once.
const metadataMost = 10_000

// MetadataStore keeps metadata; AppendLog stores them.
type MetadataStore interface {
	// Metadata are up to limit after the number, in order, and the count of all.
	Metadata(ctx context.Context, executionID string, after int64, limit int) ([]Metadatum, int64, error)
}

// MetadataOf finds the metadata in lines of a log. A line of text that is no
// object is none, and no mistake.
func MetadataOf(lines []Line) []Metadatum {
	var found []Metadatum
	for _, line := range lines {
		text := strings.TrimSpace(line.Text)
		if line.Stream != Stdout || len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' || len(text) > MetadatumMost {
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &object) == nil && len(object) > 0 {
			found = append(found, Metadatum{Time: line.Time, Body: json.RawMessage(text)})
		}
	}
	return found
}

// latestMost is how many metadata the latest values are sought in.
const latestMost = 1000

// LatestMetadata are the latest values of each name in an execution's last
// metadata, of which a thousand are looked at.
func (s *Service) LatestMetadata(ctx context.Context, e Execution) (map[string]any, error) {
	_, count, err := s.store.Metadata(ctx, e.ID, 0, 0)
	if err != nil || count == 0 {
		return nil, err
	}
	last, _, err := s.store.Metadata(ctx, e.ID, max(0, count-latestMost), latestMost)
	values := make(map[string]any)
	for _, m := range last {
		m.AddTo(values)
	}
	return values, err
}

// AddTo puts the values in the place of earlier ones of the same names.
func (m Metadatum) AddTo(values map[string]any) {
	var object map[string]any
	if json.Unmarshal(m.Body, &object) == nil { // it was an object when it was kept
		maps.Copy(values, object)
	}
}

// Condition says of what a command told of itself whether it may stop.
type Condition interface {
	Holds(metadata map[string]any) bool
}

// ParseCondition reads a stop condition.
func ParseCondition(text string) (Condition, error) { return valohaiyaml.ParseCondition(text) }

// Metadata are an execution's after a number, at most limit, and the count of
// all; limit 0 is as many as there may be at once.
func (s *Service) Metadata(ctx context.Context, actor account.Actor, key string, after int64, limit int) ([]Metadatum, int64, error) {
	e, _, err := s.Get(ctx, actor, key)
	if err != nil {
		return nil, 0, err
	}
	if limit <= 0 || limit > metadataMost {
		limit = metadataMost
	}
	return s.store.Metadata(ctx, e.ID, after, limit)
}
