package execution

import (
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// Datum is a file that an execution left in its outputs.
type Datum struct {
	ID          string // UUID
	ProjectID   string
	ExecutionID string
	Counter     int // of the execution; of no meaning to what stores a datum

	// Name is its path below the outputs' directory, with slashes.
	Name string

	Size   int64
	SHA256 string // hexadecimal

	// Key is where the depot has it.
	Key string

	CreatedAt time.Time
	PurgedAt  time.Time // zero: it is there
}

// IsPurged reports whether its bytes are gone.
func (d Datum) IsPurged() bool { return !d.PurgedAt.IsZero() }

// DatumURL begins the URL by which a step's input names a datum.
const DatumURL = "datum://"

// DatumFilter says which data to list.
type DatumFilter struct {
	ProjectIDs  []string
	ExecutionID string // "": of all
	Page        Page
}

// DataStore keeps what is known of data, not their bytes.
type DataStore interface {
	// AddDatum keeps a file of the lease's execution in the place of one of the
	// same name. Data that another lease of the execution left are dropped: an
	// execution that began anew has but the outputs of its last attempt. It
	// returns the keys that nothing names any more. The event's organisation is the
	// project's.
	AddDatum(ctx context.Context, leaseID string, d Datum, event audit.Event) (dropped []string, err error)
	DatumByID(ctx context.Context, id string) (Datum, error)

	// Data are those of the filter, the newest first, and the count of all.
	Data(ctx context.Context, filter DatumFilter) ([]Datum, int, error)
	PurgeDatum(ctx context.Context, id string, at time.Time, event audit.Event) error
}

// Depot keeps the bytes of data. Its methods may be called concurrently.
type Depot interface {
	// Put stores what it reads under a key. What failed leaves nothing.
	Put(ctx context.Context, key string, r io.Reader) (size int64, sha256 string, err error)

	// Open reads from an offset on.
	Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error)

	// Delete is no error where nothing is there.
	Delete(ctx context.Context, key string) error
}

// Bounds of a datum's name.
const datumNameMost = 1024

// NewDatum is a datum of an execution, under the lease that it is held by.
func (s *Service) newDatum(e Execution, name string) (Datum, error) {
	if err := validDatumName(name); err != nil {
		return Datum{}, err
	}
	id := uuid.NewString()
	return Datum{
		ID: id, ProjectID: e.ProjectID, ExecutionID: e.ID, Name: name, CreatedAt: s.now(),
		Key: path.Join(e.ProjectID, e.ID, id),
	}, nil
}

func validDatumName(name string) error {
	switch {
	case name == "" || len(name) > datumNameMost:
		return fault.InvalidField("name", "name", "%.80q is no name of an output; at most %d bytes", name, datumNameMost)
	case name != path.Clean(name) || path.IsAbs(name) || strings.HasPrefix(name, "../") || name == ".." || name == ".":
		return fault.InvalidField("name", "name", "%.80q does not lead below the outputs", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fault.InvalidField("name", "name", "%.80q holds a control character", name)
	}
	return nil
}

// AddOutput keeps a file of the outputs of an execution that its worker holds.
func (s *Service) AddOutput(ctx context.Context, actor account.Actor, held Execution, name string, r io.Reader) (Datum, error) {
	d, err := s.newDatum(held, name)
	if err != nil {
		return Datum{}, err
	}
	if d.Size, d.SHA256, err = s.depot.Put(ctx, d.Key, r); err != nil {
		return Datum{}, err
	}
	event := s.event(actor, audit.DatumCreate, account.Project{}, held)
	event.ObjectID, event.ObjectName = d.ID, d.Name
	event.Details = map[string]string{"size": strconv.FormatInt(d.Size, 10), "sha256": d.SHA256}
	dropped, err := s.store.AddDatum(ctx, held.Lease.ID, d, event)
	if err != nil {
		dropped = append(dropped, d.Key)
	}
	for _, key := range dropped {
		if deleteErr := s.depot.Delete(context.WithoutCancel(ctx), key); deleteErr != nil && err == nil {
			err = deleteErr
		}
	}
	s.changed.Ring(held.ID)
	return d, err
}

// Datum finds one that actor may see.
func (s *Service) Datum(ctx context.Context, actor account.Actor, id string) (Datum, error) {
	d, err := s.store.DatumByID(ctx, id)
	if err == nil {
		_, err = s.projects.Project(ctx, actor, d.ProjectID)
	}
	if fault.Is(err, fault.NotFound) {
		return Datum{}, noDatum(id)
	}
	return d, err
}

func noDatum(id string) error {
	return fault.New(fault.NotFound, "datum_unknown", "there is no datum %.80q, or none that you may see", id).
		WithHint("`fairlead execution outputs EXECUTION` lists those of an execution.")
}

// Data are those of an execution or a project, or of all that actor may see, and
// the count of all of them.
func (s *Service) Data(ctx context.Context, actor account.Actor, execution, project string, page Page) ([]Datum, int, error) {
	filter := DatumFilter{Page: page.bounded()}
	switch {
	case execution != "":
		e, found, err := s.Get(ctx, actor, execution)
		if err != nil {
			return nil, 0, err
		}
		filter.ExecutionID, filter.ProjectIDs = e.ID, []string{found.ID}
	case project != "":
		found, err := s.projects.Project(ctx, actor, project)
		if err != nil {
			return nil, 0, err
		}
		filter.ProjectIDs = []string{found.ID}
	default:
		all, err := s.projects.Projects(ctx, actor)
		if err != nil {
			return nil, 0, err
		}
		for _, found := range all {
			filter.ProjectIDs = append(filter.ProjectIDs, found.ID)
		}
	}
	return s.store.Data(ctx, filter)
}

// LinkedDatum finds a datum for somebody who shows a link to it that the door has
// signed.
func (s *Service) LinkedDatum(ctx context.Context, id string) (Datum, error) {
	return s.store.DatumByID(ctx, id)
}

// OpenDatum reads a datum's bytes from an offset on. Whoever calls it has asked
// who may.
func (s *Service) OpenDatum(ctx context.Context, d Datum, offset int64) (io.ReadCloser, error) {
	if d.IsPurged() {
		return nil, fault.New(fault.NotFound, "datum_purged", "%s was purged on %s", d.Name, d.PurgedAt.Format(time.DateOnly)).
			WithHint("Run the step again that made it.")
	}
	return s.depot.Open(ctx, d.Key, offset)
}

// Input is the datum that a held execution has among its inputs. Any other is
// NotFound: a worker gets nothing but what its execution was made with.
func (s *Service) Input(ctx context.Context, held Execution, id string) (Datum, error) {
	for _, input := range held.Work.Inputs {
		for _, file := range input.Files {
			if file.URL == DatumURL+id {
				return s.store.DatumByID(ctx, id)
			}
		}
	}
	return Datum{}, noDatum(id)
}

// Purge deletes a datum's bytes; that it was there is still known.
func (s *Service) Purge(ctx context.Context, actor account.Actor, id string) (Datum, error) {
	d, err := s.Datum(ctx, actor, id)
	if err != nil || d.IsPurged() {
		return d, err
	}
	e, project, err := s.byID(ctx, actor, d.ExecutionID)
	if err != nil {
		return Datum{}, err
	}
	if !e.Status.IsFinal() {
		return Datum{}, fault.New(fault.Conflict, "execution_runs", "the execution #%d that leaves %s has not ended", e.Counter, d.Name).
			WithHint("Stop it first.")
	}
	event := s.event(actor, audit.DatumPurge, project, e)
	event.ObjectID, event.ObjectName = d.ID, d.Name
	d.PurgedAt = s.now()
	// The word first: bytes without one are swept, a word without bytes is a lie.
	if err := s.store.PurgeDatum(ctx, d.ID, d.PurgedAt, event); err != nil {
		return Datum{}, err
	}
	if err := s.depot.Delete(context.WithoutCancel(ctx), d.Key); err != nil {
		return d, fmt.Errorf("deleting %s: %w", d.Name, err)
	}
	return d, nil
}

// dataMost is how many files of one execution are deleted with it at most.
const dataMost = 100_000

// purgeAll deletes the bytes of all data of an execution that is deleted.
func (s *Service) purgeAll(ctx context.Context, data []Datum) error {
	for _, d := range data {
		if d.IsPurged() {
			continue
		}
		if err := s.depot.Delete(ctx, d.Key); err != nil {
			return fmt.Errorf("deleting %s: %w", d.Name, err)
		}
	}
	return nil
}
