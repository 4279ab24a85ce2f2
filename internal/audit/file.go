package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"fairlead.dev/fairlead/internal/fault"
)

// RepeatMost is how many rows back a row may come again in a file: what writes rows
// while they come about sends the last of them twice after it was killed.
const RepeatMost = 1000

// lineMost is the most bytes that a line of an exported file has.
const lineMost = 1 << 20

// FileReport is what VerifyFile found.
type FileReport struct {
	// Count is how many rows are right, from First to Last; nil where there are
	// none.
	Count       int64
	First, Last *Event

	// Absent is how many rows between them are not in the file.
	Absent int64

	Noted   Noted
	Problem *Problem // nil: all is right
}

// VerifyFile reads rows as Line wrote them, one a line, the oldest first, and
// stops at the first that is wrong: each is compared with its hash, and with the
// row before it if that is in the file. A row that comes again as it was is passed
// over, if it is among the last RepeatMost. The file may be a part of the trail,
// unless complete: then a row that is not there is Missing. noted is a head that
// must be in it, or zero. tell hears how many rows were read, now and then; it may
// be nil. An Invalid fault tells of a line that is no row.
func VerifyFile(ctx context.Context, file io.Reader, noted Point, complete bool, tell func(done int64)) (FileReport, error) {
	v := fileVerifier{verifier: verifier{noted: noted}, complete: complete}
	in := bufio.NewReaderSize(file, lineMost)
	for number := 1; ; number++ {
		text, err := in.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return FileReport{}, badLine(number, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			link, err := ParseLine(text)
			if err != nil {
				return FileReport{}, badLine(number, err)
			}
			if v.file.Problem = v.take(link); v.file.Problem != nil {
				return v.file, nil
			}
		}
		if number%verifyBatch == 0 || end {
			if tell != nil {
				tell(v.file.Count)
			}
			if ctx.Err() != nil {
				return FileReport{}, ctx.Err()
			}
		}
		if end {
			v.file.Problem = v.end()
			return v.file, nil
		}
	}
}

func badLine(number int, err error) error {
	if errors.Is(err, bufio.ErrBufferFull) {
		err = errors.New("it is too long")
	}
	return fault.New(fault.Invalid, "audit_file", "line %d of the file is no row of the audit trail: %s", number, err).
		WithHint("`fairlead audit export --format jsonl` writes such a file.").WithCause(err)
}

// fileVerifier is somewhere on its way through a file.
type fileVerifier struct {
	verifier
	complete bool
	file     FileReport
	recent   [RepeatMost]Point // the last rows, by the rest of their ids
}

func (v *fileVerifier) take(link Link) *Problem {
	switch {
	case v.file.First != nil && link.Broken == nil && v.recent[link.ID%RepeatMost] == link.Point() && link.Digest() == link.Hash:
		return nil
	case v.file.First == nil:
		v.at = Point{ID: link.ID - 1, Hash: link.Previous} // what was before it is not in the file
	case link.ID <= v.at.ID:
		return problem(link.ID, OutOfOrder, "row %d stands behind row %d: the rows were put in another order", link.ID, v.at.ID)
	case link.ID > v.at.ID+1:
		if v.complete {
			return v.missing(v.at.ID+1, link.ID-1)
		}
		v.file.Absent += link.ID - 1 - v.at.ID
		v.at = Point{ID: link.ID - 1, Hash: link.Previous}
	}
	found := v.next(link)
	v.recent[link.ID%RepeatMost] = link.Point()
	v.file.Count, v.file.First, v.file.Last, v.file.Noted = v.report.Count, v.report.First, v.report.Last, v.report.Noted
	return found
}

// end is what is wrong when all rows were read.
func (v *fileVerifier) end() *Problem {
	if v.noted.Hash.IsZero() || v.file.Noted == NotedThere {
		return nil
	}
	v.file.Noted = NotedWrong
	if v.noted.ID > 0 {
		return problem(v.noted.ID, Missing, "row %d, which was noted, is not in the file", v.noted.ID)
	}
	return problem(v.at.ID, HeadDiffers, "no row of the file has the hash %s that was noted", v.noted.Hash)
}
