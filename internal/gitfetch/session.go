package gitfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// advertisedMost bounds the list of a repository's refs, in bytes.
const advertisedMost = 64 << 20

// stall is how long a host may say nothing before the connection is given up.
const stall = 2 * time.Minute

// session is one visit to a repository: first its refs, then at most one pack.
// Errors are faults, or those of the network and of the decoding.
type session interface {
	// advertised lists what the repository has; nil if it is empty.
	advertised(ctx context.Context) (*packp.AdvRefs, error)

	// exchange sends a request and returns the answer, to be closed.
	exchange(ctx context.Context, request *packp.UploadPackRequest) (io.ReadCloser, error)

	close()
}

// connect begins a visit.
func (f *Fetcher) connect(ctx context.Context, r Remote, a address) (session, error) {
	if a.scheme == "ssh" {
		return f.connectSSH(ctx, r, a)
	}
	return f.newWeb(r, a), nil
}

// decodeAdvertised reads the list of refs.
func decodeAdvertised(r io.Reader) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(&limited{r: r, left: advertisedMost})
	if errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && refs.IsEmpty() {
		return nil, nil //nolint:nilnil // an empty repository is no error, and has no list
	}
	return refs, err
}

// newRequest asks for commits and depth more before them. Haves and shallows are
// what the cache has.
func newRequest(has *capability.List, wants, haves, shallows []plumbing.Hash, depth int) *packp.UploadPackRequest {
	offered := capability.NewList()
	// The answer is read the same way with each of these; no thin packs, since a
	// pack is indexed by itself.
	for _, c := range []capability.Capability{
		capability.MultiACKDetailed, capability.MultiACK, capability.Sideband64k, capability.Sideband, capability.OFSDelta,
	} {
		if has.Supports(c) {
			_ = offered.Set(c) // it fails for those with arguments alone
		}
	}
	request := packp.NewUploadPackRequestFromCapabilities(offered)
	request.Wants, request.Haves = wants, haves
	for _, c := range []capability.Capability{capability.NoProgress, capability.Shallow} {
		if has.Supports(c) {
			_ = request.Capabilities.Set(c)
		}
	}
	if has.Supports(capability.Shallow) {
		request.Depth, request.Shallows = packp.DepthCommits(depth), shallows
	}
	return request
}

// packOf is the pack within an answer.
func packOf(request *packp.UploadPackRequest, answer io.Reader) io.Reader {
	switch {
	case request.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case request.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}

// isNotOurs reports whether the host refused to give a commit by its hash.
func isNotOurs(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "not our ref") || strings.Contains(err.Error(), "not advertised") ||
		strings.Contains(err.Error(), "unadvertised object"))
}

// limited reads up to a number of bytes, and then fails with errTooLarge.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		// The end itself is within the limit.
		if n, err := l.r.Read(make([]byte, 1)); n == 0 && err != nil {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// impatient is a connection on which a silence of stall is an error.
type impatient struct{ net.Conn }

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c impatient) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// dial opens a connection by the dialer of the configuration.
func (f *Fetcher) dial(ctx context.Context, network, target string) (net.Conn, error) {
	conn, err := f.config.Dial(ctx, network, target)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return impatient{conn}, nil
}
