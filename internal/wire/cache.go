package wire

// CacheBase is where a pull-through cache tells of itself, as the distribution
// specification has extensions named.
// https://github.com/opencontainers/distribution-spec/tree/v1.1.1/extensions
const CacheBase = "/v2/_fairlead/cache/"

// CacheStatus is how a pull-through cache is. Counts are of one process, since it began.
type CacheStatus struct {
	Since *Time  `json:"since"`
	Place string `json:"place"`

	StoredBlobs int   `json:"stored_blobs"`
	StoredBytes int64 `json:"stored_bytes"`
	LimitBytes  int64 `json:"limit_bytes"` // 0 is none

	Manifests      int64 `json:"manifests"`
	ManifestHits   int64 `json:"manifest_hits"`
	ManifestsStale int64 `json:"manifests_stale"`
	Blobs          int64 `json:"blobs"`
	BlobHits       int64 `json:"blob_hits"`
	Questions      int64 `json:"questions"`
	FetchedBytes   int64 `json:"fetched_bytes"`
	SentBytes      int64 `json:"sent_bytes"`
	Downloads      int   `json:"downloads"`

	Organizations []CacheUsage `json:"organizations"`
	Quotas        []CacheQuota `json:"quotas"`
	Pins          []CachePin   `json:"pins"` // told to operators
}

// CachePin is an image that stays, whatever the limit.
type CachePin struct {
	Image  string `json:"image"`
	Digest string `json:"digest"`
}

// CacheUnpin asks a cache to let an image go when room is needed.
type CacheUnpin struct {
	Image string `json:"image"`
}

// CacheUsage is what an organisation's pulls keep; what several use counts for each.
type CacheUsage struct {
	Organization string `json:"organization"`
	Bytes        int64  `json:"bytes"`
}

// CacheQuota is what a registry still gives to a credential.
type CacheQuota struct {
	Host         string `json:"host"`
	Organization string `json:"organization"` // "" for pulls as anybody
	Credential   string `json:"credential"`
	Limit        int    `json:"limit"`
	Remaining    int    `json:"remaining"`
	WindowSecs   int64  `json:"window_seconds"` // 0: not said
	ToldAt       *Time  `json:"told_at"`
}

// CacheWarm asks a cache to keep what an image is made of.
type CacheWarm struct {
	Image     string   `json:"image"`
	Platforms []string `json:"platforms"`
	Pin       bool     `json:"pin"` // it stays, whatever the limit; for operators
}

// CacheWarmed is a line of the answer: a blob, and last the image's digest or what went
// wrong.
type CacheWarmed struct {
	Blob string `json:"blob,omitempty"`
	Size int64  `json:"size,omitempty"`
	Kept bool   `json:"kept,omitempty"`

	Digest  string   `json:"digest,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// CacheLogin is who pulls through a cache apart from the server: what that showed to
// the cache.
type CacheLogin struct {
	User   string     `json:"user" doc:"The user name that was shown to the cache"`
	Token  OpenSecret `json:"token" doc:"The token that was shown to the cache"`
	Remote string     `json:"remote" doc:"Address that the login came from"` // the address that it came from
}

// CodeReaderUnknown is the code of the refusal of a login that is nobody's.
const CodeReaderUnknown = "reader_unknown"

// CacheReader is who that is, and what for.
type CacheReader struct {
	ID           string  `json:"id" doc:"Id of who logged in"`
	Name         string  `json:"name" doc:"Name of who logged in"`
	Operator     bool    `json:"operator" doc:"Whether they run the installation"`
	Project      NamedID `json:"project" doc:"The project that they read for; empty: none, and nothing may be read"` // "" where none was named: nothing may be read
	Organization string  `json:"organization" doc:"Who owns the project, by name"`
	ExecutionID  string  `json:"execution_id" doc:"The execution that a worker reads for"`
}

// CacheGrantRequest asks for the right of a reader to an image's repository.
type CacheGrantRequest struct {
	Login   CacheLogin `json:"login" doc:"Who logs in at the cache"`
	Image   string     `json:"image" doc:"The image that they ask for"`
	Refused *Time      `json:"refused,omitempty" doc:"issued_at of a grant that the registry no longer takes"` // issued_at of a grant that the registry no longer takes

	// FreshMilliseconds is how old a grant may be that itself says what it is good
	// for, while its token service can be asked; 0: as old as it says.
	FreshMilliseconds int64 `json:"fresh_milliseconds" doc:"How old a grant may be while its token service can be asked; 0: as old as it says"`

	// OnlyCovered refuses what no credential covers.
	OnlyCovered bool `json:"only_covered" doc:"Refuse what no credential covers"`
}

// CacheGrant is that right, and which credential gave it; "" is none.
type CacheGrant struct {
	Grant

	CredentialID string `json:"credential_id" doc:"Id of the credential that gave it; empty: none"`
	Version      int    `json:"credential_version" doc:"Version of that credential"`
}
