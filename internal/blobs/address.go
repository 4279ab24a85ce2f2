package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/azure"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/distribution/v3/registry/storage/driver/gcs"
	s3 "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"

	"fairlead.dev/fairlead/internal/depot/bucket"
	"fairlead.dev/fairlead/internal/fault"
)

// kind is where blobs are kept, as a URL's scheme.
type kind string

const (
	directory kind = "file"
	amazon    kind = "s3"
	google    kind = "gs"
	microsoft kind = "azblob"
)

// address is a URL of a place for blobs, taken apart.
type address struct {
	kind   kind
	bucket string // or container; or, of a directory, its absolute path
	prefix string // folder of everything in it, without slashes around it

	// Of S3: "" is what the environment says.
	region, endpoint string
	pathStyle        bool
}

// String is the address without what may be a secret.
func (a address) String() string {
	text := string(a.kind) + "://" + a.bucket
	if a.prefix != "" {
		text += "/" + a.prefix
	}
	return text
}

// parameters are what a URL may say behind its question mark.
var parameters = map[kind][]string{
	directory: {"prefix"},
	amazon:    {"prefix", "region", "endpoint", "use_path_style"},
	google:    {"prefix"},
	microsoft: {"prefix"},
}

// prefixes are what every one of the drivers puts into a request as it is: that of
// Google Cloud Storage does not escape it.
var prefixes = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// parseAddress reads a URL. The error is an Invalid fault.
func parseAddress(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil || parameters[kind(u.Scheme)] == nil || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return address{}, fault.InvalidField("blobs", "blobs_url", "is no URL of a place for blobs").
			WithHint("Write it as file:///DIRECTORY, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER, with prefix=FOLDER if it is shared with others.")
	}
	a := address{kind: kind(u.Scheme), bucket: u.Host}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return address{}, fault.InvalidField("blobs", "blobs_url", "has parameters that cannot be read")
	}
	for name, values := range query {
		if !slices.Contains(parameters[a.kind], name) || len(values) != 1 {
			return address{}, fault.InvalidField("blobs", "blobs_parameter", "has the parameter %q, which is not known, or is there twice", name).
				WithHint("%s:// takes %s, once each.", a.kind, strings.Join(parameters[a.kind], ", "))
		}
	}
	a.region, a.endpoint = query.Get("region"), query.Get("endpoint")
	a.pathStyle = query.Get("use_path_style") == "true"
	if a.prefix = strings.Trim(query.Get("prefix"), "/"); a.prefix != "" {
		if !prefixes.MatchString(a.prefix) || path.Clean("/"+a.prefix) != "/"+a.prefix {
			return address{}, fault.InvalidField("blobs", "blobs_prefix", "has the prefix %q", a.prefix).
				WithHint("Use letters, digits, dots, dashes and underscores, with slashes between folders.")
		}
	}
	if a.kind == directory {
		if u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/" || strings.ContainsRune(u.Path, 0) {
			return address{}, fault.InvalidField("blobs", "blobs_url", "is no directory").
				WithHint("A directory is written with three slashes, as file:///srv/blobs.")
		}
		a.bucket = path.Clean(u.Path)
		return a, nil
	}
	if a.bucket == "" || strings.Trim(u.Path, "/") != "" {
		return address{}, fault.InvalidField("blobs", "blobs_url", "names no bucket, or a path in one").
			WithHint("Write it as %s://BUCKET, and a folder in it as prefix=FOLDER.", a.kind)
	}
	return a, nil
}

// dir is where a directory's blobs are.
func (a address) dir() string { return filepath.FromSlash(path.Join(a.bucket, a.prefix)) }

// open makes distribution's driver of it. Clouds are logged in to with what the
// environment or the machine has, as far as the driver can.
func (a address) open(ctx context.Context) (storagedriver.StorageDriver, error) {
	switch a.kind {
	case directory:
		if err := os.MkdirAll(a.dir(), 0o700); err != nil {
			return nil, err
		}
		return filesystem.New(filesystem.DriverParameters{RootDirectory: a.dir(), MaxThreads: directoryThreads}), nil
	case amazon:
		return a.openS3(ctx)
	case google:
		if os.Getenv("STORAGE_EMULATOR_HOST") != "" {
			return nil, errors.New("STORAGE_EMULATOR_HOST is set, and large uploads would go past it to Google")
		}
		// Its source of tokens keeps the context and outlives the call.
		driver, err := gcs.FromParameters(context.WithoutCancel(ctx), map[string]any{
			"bucket": a.bucket, "rootdirectory": a.prefix, "chunksize": googleChunk,
		})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", bucket.ErrGoogleLogin, err)
		}
		return driver, nil
	default:
		return a.openAzure(ctx)
	}
}

const (
	// directoryThreads is how many calls to a directory may run at the same time:
	// each takes a thread of the system.
	directoryThreads = 100

	// googleChunk is how many bytes an upload to Google holds in memory.
	googleChunk = 4 << 20
)

// openS3 opens a bucket of S3, or of what speaks like it. The settings are read
// that the cloud's own tools read, since the driver itself knows fewer.
func (a address) openS3(ctx context.Context) (storagedriver.StorageDriver, error) {
	first := func(values ...string) string {
		for _, value := range values {
			if value != "" {
				return value
			}
		}
		return ""
	}
	region := first(a.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return nil, errNoRegion
	}
	endpoint := first(a.endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	open := func() (storagedriver.StorageDriver, error) {
		return s3.FromParameters(ctx, map[string]any{
			"bucket": a.bucket, "region": region, "rootdirectory": a.prefix,
			"regionendpoint": endpoint, "forcepathstyle": a.pathStyle || isNumeric(endpoint),
			// Taken with a bucket's access lists on and off; private, the driver's own,
			// is refused by one of another account.
			// https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
			"objectacl": "bucket-owner-full-control",
			// STANDARD is what a bucket does by itself, and not every other store knows it.
			"storageclass": "NONE",
		})
	}
	driver, err := open()
	if err != nil && endpoint == "" && strings.HasPrefix(err.Error(), "invalid region") && regions.MatchString(region) {
		// One that was opened after the driver's list of them was made.
		endpoint = "https://s3." + region + ".amazonaws.com"
		driver, err = open()
	}
	return driver, err
}

// regions is how a region's name looks.
var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)

// isNumeric reports whether a URL's host is an IP address, below which no bucket
// can have a name of its own.
func isNumeric(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil
}

// azureCopies is how often the driver asks whether a copy inside the account is
// done, each time a tenth of a second later than before: about three minutes.
const azureCopies = 60

// openAzure opens a container with the account's key, as it is in the environment,
// or else with the machine's identity.
func (a address) openAzure(ctx context.Context) (storagedriver.StorageDriver, error) {
	settings := map[string]string{
		"AccountName": os.Getenv("AZURE_STORAGE_ACCOUNT"), "AccountKey": os.Getenv("AZURE_STORAGE_KEY"),
		"DefaultEndpointsProtocol": os.Getenv("AZURE_STORAGE_PROTOCOL"), "domain": os.Getenv("AZURE_STORAGE_DOMAIN"),
	}
	for _, name := range []string{"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
		for setting := range strings.SplitSeq(os.Getenv(name), ";") {
			if key, value, is := strings.Cut(setting, "="); is {
				settings[key] = value
			}
		}
	}
	if suffix := settings["EndpointSuffix"]; suffix != "" {
		settings["domain"] = "blob." + suffix
	}
	switch {
	case settings["AccountName"] == "":
		return nil, errors.New("AZURE_STORAGE_ACCOUNT is not set")
	case settings["AccountKey"] == "" && os.Getenv("AZURE_STORAGE_SAS_TOKEN") != "", settings["SharedAccessSignature"] != "":
		return nil, errors.New("a shared access signature cannot be used for blobs: set AZURE_STORAGE_KEY, or let the machine have an identity")
	}
	parameters := &azure.DriverParameters{
		Container: a.bucket, RootDirectory: a.prefix, AccountName: settings["AccountName"], ServiceURL: settings["BlobEndpoint"],
		Credentials: azure.Credentials{Type: azure.CredentialsTypeDefault},
		MaxRetries:  azureCopies, RetryDelay: "100ms",
	}
	if key := settings["AccountKey"]; key != "" {
		parameters.AccountKey = key
		parameters.Credentials.Type = azure.CredentialsTypeSharedKey
	}
	if parameters.ServiceURL == "" {
		parameters.ServiceURL = azureService(settings["AccountName"], settings["DefaultEndpointsProtocol"], settings["domain"])
	}
	return azure.New(ctx, parameters)
}

// azureService is where an account is; one that has a port is an emulator, with the
// account in the path.
func azureService(account, protocol, domain string) string {
	if protocol == "" {
		protocol = "https"
	}
	if domain == "" {
		domain = "blob.core.windows.net"
	}
	if strings.Contains(domain, ":") {
		return fmt.Sprintf("%s://%s/%s", protocol, domain, account)
	}
	return fmt.Sprintf("%s://%s.%s", protocol, account, domain)
}
