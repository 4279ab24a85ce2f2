package mirror

import (
	"context"
	"io"
	"net/netip"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// Client is whoever was let in: a person, a machine, an execution, a network.
// The door hands it on to the Backend and looks at nothing of it but its name.
type Client interface {
	// Name is for the log. It holds no secret.
	Name() string
}

// Shown is what a request shows of who sends it. At most one of the password
// and the token is there.
type Shown struct {
	User     string
	Password secret.Text // of Basic; may be empty where User is not
	Token    secret.Text // of Bearer

	// Remote is the address that the connection came from: what a header says of
	// it is not looked at. It is the zero Addr where the listener is no TCP's.
	Remote netip.Addr
}

// IsAnonymous reports whether a request shows nothing but its address.
func (s Shown) IsAnonymous() bool {
	return s.User == "" && s.Password.IsEmpty() && s.Token.IsEmpty()
}

// Authenticator knows who may come in. It is safe for concurrent use.
type Authenticator interface {
	// Authenticate finds the client of what a request shows: it is not nil unless
	// there is an error. An Unauthenticated fault says that nobody is shown, or
	// nobody who is known, and invites the client to log in; any other fault is
	// told as it is.
	//
	// Docker logs in nowhere that lets its first, anonymous request in: whom the
	// network lets in cannot have a login of their own as well.
	Authenticate(ctx context.Context, shown Shown) (Client, error)
}

// Backend is what is behind the door. Each method first decides whether the
// client may read that repository, and whether its registry is one to be asked
// at all: the door decides neither.
//
// Errors are *fault.Error. NotFound is told as an unknown manifest or blob, by
// what was asked for, unless its code is repository_not_found; the other kinds
// are those of the table in errors.go. Unauthenticated is told as a refusal:
// it is the upstream that does not know Fairlead, and the client's login would
// mend nothing.
//
// A Backend is safe for concurrent use, and a call ends when its context does.
type Backend interface {
	// Resolve is what Manifest would give without the bytes. It is for HEAD, and
	// may cost less: Docker Hub counts no HEAD against its limit.
	Resolve(ctx context.Context, client Client, ref image.Reference) (Descriptor, error)

	// Manifest gives the manifest or index that a tag or a digest names. The
	// bytes are verified to have the digest of the descriptor, which is the
	// reference's where that has one. One of more bytes than the Backend takes is
	// an Exhausted fault with the code manifest_too_large.
	Manifest(ctx context.Context, client Client, ref image.Reference) (Manifest, error)

	// Blob gives the blob that the reference's digest names; the repository is
	// where the right to it comes from. It costs upstream no more than the size:
	// bytes are fetched when they are first read, from where the content was
	// sought to. Seeking to the end tells the size, at once. The content is read
	// until the end of the request and then closed. Reading fails, rather than
	// ends, before bytes that were not verified can complete a blob. What a
	// method File() *os.File of the content gives is sent by the kernel, which is the
	// fastest way; so is what Arrived(most int64) (*os.File, int64, error) gives of one
	// that is on its way: a file that stands before so many bytes, which are passed over
	// by the next Read, and no file where Read is to be used.
	Blob(ctx context.Context, client Client, ref image.Reference) (io.ReadSeekCloser, error)

	// Tags lists the tags of a repository, in lexical order; the reference's own
	// tag means nothing.
	Tags(ctx context.Context, client Client, repository image.Reference, page Page) (Tags, error)

	// Referrers lists the manifests whose subject is the reference's digest. Next
	// is "" at first, and then what the page before said. There are none of an
	// unknown digest, which is no error; a NotFound fault says that the registry
	// has no such list, and clients look for the tag of it then.
	Referrers(ctx context.Context, client Client, ref image.Reference, next string) (Referrers, error)
}

// Descriptor says what a manifest is.
type Descriptor struct {
	MediaType string
	Digest    digest.Digest
	Size      int64 // in bytes

	// Stale is why the answer may be out of date, such as "docker.io allows no
	// more requests for now"; "" where it is not.
	Stale string
}

// Manifest is a manifest or index with its bytes, which are as many as Size
// says and are not changed.
type Manifest struct {
	Descriptor
	Content []byte
}

// Page says which part of a list is asked for.
type Page struct {
	// Most is how many entries to give at most, 1 to 1000; 0: as many as the
	// Backend gives at once.
	Most int

	// Last is the entry after which to go on, "" for the beginning. It need not
	// be on the list.
	Last string
}

// Tags is one page of a repository's tags.
type Tags struct {
	Names []string
	More  bool   // it goes on after the last name
	Stale string // as in Descriptor
}

// Referrers is one page of what refers to a manifest.
type Referrers struct {
	Manifests []ocispec.Descriptor
	Next      string // leads to the next page; "" on the last
	Stale     string // as in Descriptor
}
