package blobs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

const (
	// lineMost is how long a line of a segment may be, and segmentMost a segment, in
	// bytes: about a million blobs.
	lineMost    = 1 << 20
	segmentMost = 256 << 20

	// organizationsMost is how many organisations are in a line.
	organizationsMost = 500

	// organizationMost is how long an organisation's name may be, in bytes.
	organizationMost = 255
)

// moment is a time in milliseconds since 1970; 0 is never.
type moment int64

func momentOf(t time.Time) moment { return moment(t.UnixMilli()) }

func (m moment) time() time.Time { return time.UnixMilli(int64(m)) }

func (m moment) before(d time.Duration) moment { return m - moment(d.Milliseconds()) }

// line is what some process knew of a blob. Lines of the same blob join in any order
// and any number of times to the same: of each time the latest counts. So processes
// that share a place write what they know and never wait for each other.
type line struct {
	Digest  digest.Digest `json:"digest"`
	Size    int64         `json:"size,omitempty"`
	Used    moment        `json:"used,omitempty"`
	Stored  moment        `json:"stored,omitempty"`  // it was put there
	Removed moment        `json:"removed,omitempty"` // it was to be removed, and counts as gone if this is not before Stored

	Pinned   moment `json:"pinned,omitempty"`
	Unpinned moment `json:"unpinned,omitempty"` // it is pinned if this is before Pinned

	// Organizations are who used it, and when last. A use that is not after Removed
	// was of an earlier copy.
	Organizations map[string]moment `json:"organizations,omitempty"`
}

// parseLine reads what another process wrote.
func parseLine(text []byte) (line, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return line{}, err
	}
	if !isDigest(l.Digest) {
		return line{}, fmt.Errorf("%q is no digest", l.Digest)
	}
	if min(moment(l.Size), l.Used, l.Stored, l.Removed, l.Pinned, l.Unpinned) < 0 {
		return line{}, errors.New("a number is negative")
	}
	for name, used := range l.Organizations {
		if !isOrganization(name) || used < 0 {
			return line{}, fmt.Errorf("%q is no organisation's use", name)
		}
	}
	return l, nil
}

func isOrganization(name string) bool {
	return name != "" && len(name) <= organizationMost && utf8.ValidString(name)
}

func isDigest(d digest.Digest) bool {
	return d.Validate() == nil && (d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512)
}

// parseSegment reads lines, all or none.
func parseSegment(text []byte) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, lineMost)
	for scanner.Scan() {
		l, err := parseLine(scanner.Bytes())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

func formatSegment(lines []line) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, l := range lines {
		names := slices.Collect(maps.Keys(l.Organizations))
		for first := true; first || len(names) > 0; first = false { // several lines, where one would be too long
			part := l
			part.Organizations = make(map[string]moment)
			for _, name := range names[:min(len(names), organizationsMost)] {
				part.Organizations[name] = l.Organizations[name]
			}
			names = names[len(part.Organizations):]
			if err := encoder.Encode(part); err != nil {
				return nil, err
			}
		}
	}
	return text.Bytes(), nil
}
