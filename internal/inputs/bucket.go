package inputs

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/depot/bucket"
	"fairlead.dev/fairlead/internal/fault"
)

// inBucket is a file in a cloud's bucket. The worker logs in there as the cloud's
// own tools do, with what its environment or its machine has.
type inBucket struct {
	bucket  *bucket.Bucket
	key     string
	url     *url.URL
	version bucket.Version // that about told of
}

// parameters are what an address may say of how its cloud is asked. Whoever
// writes it is not who lends the login: an endpoint, a role or a profile of
// their choice would take the worker's login elsewhere, so those are settings of
// the worker's environment.
var parameters = map[string][]string{
	"s3": {"region", "anonymous", "dualstack", "fips", "accelerate", "use_path_style", "s3ForcePathStyle"},
	"gs": {"anonymous"},
}

var (
	// regionName and accountName become parts of a host's name.
	regionName  = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	accountName = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
)

// openBucket reads s3://BUCKET/KEY, gs://BUCKET/KEY and
// azure://ACCOUNT/CONTAINER/BLOB.
func openBucket(ctx context.Context, u *url.URL) (*inBucket, error) {
	at, key := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: u.RawQuery}, strings.TrimPrefix(u.Path, "/")
	query := u.Query()
	for name := range query {
		if !slices.Contains(parameters[u.Scheme], name) {
			return nil, fault.New(fault.Invalid, "input_url", "%s: an input's address may not set %.40q", shown(u.String()), name).
				WithHint("Take it away. How a cloud is reached and logged in to is set in the worker's environment, such as AWS_ENDPOINT_URL_S3.")
		}
	}
	if u.Scheme == "azure" {
		container, blob, _ := strings.Cut(key, "/")
		at, key = url.URL{Scheme: "azblob", Host: container, RawQuery: url.Values{"storage_account": {u.Host}}.Encode()}, blob
	}
	if key == "" || at.Host == "" || u.Scheme == "azure" && !accountName.MatchString(u.Host) || query.Has("region") && !regionName.MatchString(query.Get("region")) {
		return nil, fault.New(fault.Invalid, "input_url", "%s names no file", shown(u.String())).
			WithHint("Write it as s3://BUCKET/KEY?region=REGION, gs://BUCKET/KEY or azure://ACCOUNT/CONTAINER/BLOB.")
	}
	if own := azureAccount(); u.Scheme == "azure" && own != "" && own != u.Host {
		return nil, fault.New(fault.Denied, "input_denied", "%s is in another storage account than this worker has a key for, which is %s", shown(u.String()), own).
			WithHint("Keep the file there, or use a signed https address.")
	}
	b := &inBucket{key: key, url: u}
	opened, err := bucket.Open(ctx, &at)
	if err != nil {
		return nil, b.fault(err)
	}
	b.bucket = opened
	return b, nil
}

// azureAccount is the one storage account that this worker can log in to; "" if
// it logs in with an identity, which may have several. To a connection string's
// account every request would go, whichever the address names.
func azureAccount() string {
	if account := os.Getenv("AZURE_STORAGE_ACCOUNT"); account != "" && (os.Getenv("AZURE_STORAGE_KEY") != "" || os.Getenv("AZURE_STORAGE_SAS_TOKEN") != "") {
		return account
	}
	for _, setting := range []string{"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
		for part := range strings.SplitSeq(os.Getenv(setting), ";") {
			if account, is := strings.CutPrefix(part, "AccountName="); is {
				return account
			}
		}
	}
	return ""
}

func (b *inBucket) close() { _ = b.bucket.Close() } // only read

func (b *inBucket) name(about) string { return lastOf(b.key) }

func (b *inBucket) about(ctx context.Context) (about, error) {
	what, err := b.bucket.About(ctx, b.key)
	if err != nil {
		return about{}, b.fault(err)
	}
	b.version = what.Version
	return about{etag: what.ETag, modified: what.Modified.UTC().Format(time.RFC3339Nano), size: what.Size}, nil
}

func (b *inBucket) copy(ctx context.Context, _ about, w io.Writer) error {
	reader, err := b.bucket.Read(ctx, b.key, 0, b.version)
	if err != nil {
		return b.fault(err)
	}
	defer func() { _ = reader.Close() }() // only read
	if _, err := io.Copy(w, reader); err != nil {
		return b.fault(err)
	}
	return nil
}

// worker is who the clouds are told of, in what there is to mend.
var worker = bucket.Asker{Name: "the worker"}

func (b *inBucket) fault(err error) error {
	if told := (*fault.Error)(nil); errors.As(err, &told) {
		return err
	}
	if err = bucket.Hush(err); errors.Is(err, context.Canceled) {
		return err
	}
	address, answer := shown(b.url.String()), bucket.Explain(err)
	hint := answer.Mend(worker)
	switch answer.Trouble {
	case bucket.Missing:
		return fault.New(fault.NotFound, "input_missing", "%s is not there%s", address, answer.Said()).WithHint("Check the address of the input.").WithCause(err)
	case bucket.NoBucket:
		return fault.New(fault.NotFound, "input_missing", "%s is not there%s", address, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Login:
		return fault.New(fault.Unauthenticated, "input_login", "this worker cannot log in to where %s is%s", address, answer.Said()).
			WithHint("%s", hint).WithCause(err)
	case bucket.Denied:
		return fault.New(fault.Denied, "input_denied", "%s is not given to this worker%s", address, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Region:
		return fault.New(fault.Invalid, "input_region", "%s is in another region than this worker asks%s", address, answer.Said()).
			WithHint("%s", hint).WithCause(err)
	case bucket.Changed:
		return fault.New(fault.Invalid, "input_changed", "%s changed while it was downloaded%s", address, answer.Said()).
			WithHint("Run the step again.").WithCause(err)
	case bucket.Busy:
		return fault.New(fault.Unavailable, "input_unreachable", "%s cannot be downloaded at the moment%s", address, answer.Said()).
			WithHint("%s", hint).WithCause(err)
	default:
		return fault.New(fault.Unavailable, "input_unreachable", "%s cannot be downloaded%s", address, answer.Said()).
			WithHint("Check the bucket's name and region, and the worker's way there.").WithCause(err)
	}
}

// dispositionName is the name that a server gives a file.
func dispositionName(header string) string {
	_, parameters, err := mime.ParseMediaType(header)
	if err != nil || parameters["filename"] == "" {
		return ""
	}
	return lastOf(strings.ReplaceAll(parameters["filename"], `\`, "/"))
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
