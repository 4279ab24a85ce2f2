package audit

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Chain is what a store keeps of the chain beside its rows.
type Chain struct {
	// Head is the newest row; zero: there is none.
	Head Point

	// Floor is the newest row that was removed for its age; zero: none was. The
	// first row that is kept stands behind it.
	Floor Point
}

// Link is a row as it was read to be verified.
type Link struct {
	Event

	// Broken says why the row cannot be read; then nothing but the ID is good.
	Broken error
}

// ChainReader reads the trail in the order in which it was written.
type ChainReader interface {
	// ReadChain reads at most limit rows behind the id after, oldest first, and
	// the chain of the same moment.
	ReadChain(ctx context.Context, after int64, limit int) (Chain, []Link, error)
}

// Flaw is how a row of the chain is wrong.
type Flaw string

// The flaws.
const (
	// Changed is a row whose content is not what was hashed.
	Changed Flaw = "changed"

	// Missing is a row that is not there.
	Missing Flaw = "missing"

	// OutOfOrder is a row that is whole, and was written behind another one than
	// the one that it stands behind.
	OutOfOrder Flaw = "out_of_order"

	// HeadDiffers is a row that is whole, and another than was noted of it.
	HeadDiffers Flaw = "head_differs"
)

// Problem is the first thing that is wrong with a chain.
type Problem struct {
	ID       int64
	Flaw     Flaw
	Sentence string
}

// Noted is what became of a head that was noted before.
type Noted string

// What becomes of a noted head.
const (
	NotNoted     Noted = ""
	NotedThere   Noted = "there"   // the row is in the chain, as it was noted
	NotedRemoved Noted = "removed" // the row was removed for its age, and cannot be compared
	NotedWrong   Noted = "wrong"   // it is another, or is not there
)

// Report is what Verify found.
type Report struct {
	// Count is how many rows were read and are right, from First to Last; nil
	// where there are none.
	Count       int64
	First, Last *Event

	Chain   Chain // as it was when verifying began
	Noted   Noted
	Problem *Problem // nil: all is right
}

// verifyBatch is how many rows are read at once: no read holds the database up.
const verifyBatch = 2000

// Verify reads the whole chain and stops at the first row that is wrong. noted
// is a head that somebody noted before, or zero; one without an ID is looked for
// by its hash. tell hears, now and then, how many rows were read out of how many;
// it may be nil. Rows that are written meanwhile are not read.
func Verify(ctx context.Context, store ChainReader, noted Point, tell func(done, all int64)) (Report, error) {
	v := verifier{noted: noted}
	for {
		chain, links, err := store.ReadChain(ctx, v.at.ID, verifyBatch)
		if err != nil {
			return Report{}, err
		}
		v.begin(chain)
		for _, link := range links {
			if link.ID > v.report.Chain.Head.ID {
				break
			}
			if v.report.Problem = v.next(link); v.report.Problem != nil {
				return v.report, nil
			}
		}
		if tell != nil {
			tell(v.report.Count, v.report.Chain.Head.ID-v.report.Chain.Floor.ID)
		}
		if len(links) < verifyBatch || v.at.ID >= v.report.Chain.Head.ID {
			v.report.Problem = v.end()
			return v.report, nil
		}
	}
}

// verifier is somewhere on its way through a chain.
type verifier struct {
	noted  Point
	report Report

	begun     bool
	at        Point // the last row that was found right, or the floor
	floor     Point
	witnessed bool // a row tells of the floor
}

// begin takes up what the store says of the chain: what was removed since the last
// look is passed over.
func (v *verifier) begin(chain Chain) {
	if !v.begun {
		v.begun, v.report.Chain = true, chain
		v.floor, v.at = chain.Floor, chain.Floor
		v.look(chain.Floor)
	}
	if chain.Floor.ID > v.at.ID {
		v.at = chain.Floor
		v.look(chain.Floor)
	}
	if chain.Floor != v.floor {
		v.floor, v.witnessed = chain.Floor, true // the row that tells of it may be behind the head
	}
}

func (v *verifier) next(link Link) *Problem {
	if link.ID > v.at.ID+1 {
		return v.missing(v.at.ID+1, link.ID-1)
	}
	switch {
	case link.ID <= v.at.ID:
		return problem(link.ID, OutOfOrder, "row %d is there, though the rows up to %d were removed for their age", link.ID, v.at.ID)
	case link.Broken != nil:
		return problem(link.ID, Changed, "row %d was changed: it cannot be read any more", link.ID)
	case link.Digest() != link.Hash:
		return problem(link.ID, Changed, "row %d was changed: its content is not what was hashed when it was written", link.ID)
	case link.Previous != v.at.Hash:
		return problem(link.ID, OutOfOrder, "row %d was written behind another row than the %d that it stands behind: that one was replaced, or the order was changed", link.ID, v.at.ID)
	}
	v.at = link.Point()
	v.look(v.at)
	if v.noted.ID == link.ID && v.report.Noted == NotedWrong {
		return problem(link.ID, HeadDiffers, "row %d has the hash %s, and not the %s that was noted: what is before it was written anew", link.ID, link.Hash, v.noted.Hash)
	}
	if removed, ok := removedBy(link.Event); ok && removed == v.floor {
		v.witnessed = true
	}
	if v.report.First == nil {
		first := link.Event
		v.report.First = &first
	}
	last := link.Event
	v.report.Last = &last
	v.report.Count++
	return nil
}

// look compares a row with what was noted.
func (v *verifier) look(at Point) {
	switch {
	case v.noted.Hash.IsZero():
	case at == v.noted || v.noted.ID == 0 && at.Hash == v.noted.Hash:
		v.report.Noted = NotedThere
	case v.noted.ID != 0 && at.ID == v.noted.ID:
		v.report.Noted = NotedWrong
	}
}

// end is what is wrong when all rows were read.
func (v *verifier) end() *Problem {
	head := v.report.Chain.Head
	switch {
	case v.at.ID < head.ID:
		return v.missing(v.at.ID+1, head.ID)
	case v.at.ID == head.ID && v.at.Hash != head.Hash:
		return problem(head.ID, Changed, "row %d is not the one that was written last: it was replaced", head.ID)
	case v.floor.ID > 0 && !v.witnessed:
		return problem(v.floor.ID, Missing, "the rows up to %d are not there, and no row says that they were removed for their age", v.floor.ID)
	case v.noted.Hash.IsZero() || v.report.Noted == NotedThere:
		return nil
	case v.report.Noted == NotedWrong:
		return problem(v.noted.ID, HeadDiffers, "row %d, the last that was removed, had the hash %s, and not the %s that was noted", v.noted.ID, v.floor.Hash, v.noted.Hash)
	case v.noted.ID != 0 && v.noted.ID < v.floor.ID:
		v.report.Noted = NotedRemoved
		return nil
	case v.noted.ID != 0:
		v.report.Noted = NotedWrong
		return problem(v.noted.ID, Missing, "row %d, which was noted, is not there: the last row is %d", v.noted.ID, head.ID)
	default:
		v.report.Noted = NotedWrong
		return problem(head.ID, HeadDiffers, "no row has the hash %s that was noted%s", v.noted.Hash, v.orRemoved())
	}
}

func (v *verifier) orRemoved() string {
	if v.floor.ID == 0 {
		return ""
	}
	return fmt.Sprintf("; it may be one of the %d that were removed for their age: note HASH@ID to tell", v.floor.ID)
}

func (v *verifier) missing(from, to int64) *Problem {
	if from == to {
		return problem(from, Missing, "row %d is missing", from)
	}
	return problem(from, Missing, "the rows %d to %d are missing", from, to)
}

func problem(id int64, flaw Flaw, sentence string, args ...any) *Problem {
	return &Problem{ID: id, Flaw: flaw, Sentence: fmt.Sprintf(sentence, args...)}
}

// Details of a row that tells of rows that were removed.
const (
	removedCount = "removed"
	removedID    = "last_id"
	removedHash  = "last_hash"
)

// Expired is the row that tells that count rows up to last were removed for their
// age: they were older than keep.
func Expired(now time.Time, count int, last Point, keep time.Duration) Event {
	return Event{
		Time: now, Actor: "fairlead", Verb: TrailExpire, Result: ResultOK,
		Details: map[string]string{
			removedCount: strconv.Itoa(count), removedID: strconv.FormatInt(last.ID, 10), removedHash: last.Hash.String(), "keep": keep.String(),
		},
	}
}

// removedBy is the last row of those that such a row says were removed.
func removedBy(event Event) (last Point, ok bool) {
	if event.Verb != TrailExpire {
		return last, false
	}
	last, err := ParsePoint(event.Details[removedHash] + "@" + event.Details[removedID])
	return last, err == nil
}
