package inputs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// origin is where a file comes from.
type origin interface {
	// about asks what the file is now.
	about(ctx context.Context) (about, error)

	// copy writes the whole file.
	copy(ctx context.Context, what about, w io.Writer) error

	// name is what the file is called.
	name(what about) string
	close()
}

// about is what an origin says of a file.
type about struct {
	etag, modified string
	size           int64  // 0 where it is not told
	filename       string // from Content-Disposition
	resumes        bool
}

// key identifies this state of the file; "" where nothing does.
func (a about) key(address string) string {
	if a.etag == "" && a.modified == "" {
		return ""
	}
	return address + "\n" + a.etag + "\n" + a.modified + "\n" + strconv.FormatInt(a.size, 10)
}

// originOf finds the origin of a source.
func (c *Cache) originOf(ctx context.Context, source Source) (origin, error) {
	u, err := url.Parse(source.URL)
	if err != nil {
		return nil, fault.New(fault.Invalid, "input_url", "an input's address cannot be read").WithHint("Write it as https://HOST/PATH.")
	}
	switch u.Scheme {
	case "http", "https":
		return &web{client: c.config.Client, source: source, url: u}, nil
	case "s3", "gs", "azure":
		return openBucket(ctx, u)
	default:
		return nil, fault.New(fault.Invalid, "input_url", "%s: files do not come by %.20q", shown(source.URL), u.Scheme).
			WithHint("Use http, https, s3, gs or azure.")
	}
}

// shown is an address without what may be a secret.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.Path)
}

// web is a file on a web server.
type web struct {
	client *http.Client
	source Source
	url    *url.URL
}

func (*web) close() {}

func (w *web) name(what about) string {
	if what.filename != "" {
		return what.filename
	}
	return lastOf(w.url.Path)
}

// lastOf is the last part of a path, as the name of a file.
func lastOf(of string) string {
	name := path.Base(of)
	if name == "." || name == "/" || name == ".." || name == "" {
		return "file"
	}
	return name
}

func (w *web) request(ctx context.Context, method string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, w.source.URL, http.NoBody)
	if err != nil {
		return nil, fault.New(fault.Invalid, "input_url", "%s is no address", shown(w.source.URL))
	}
	for name, values := range w.source.Header {
		request.Header[name] = values
	}
	request.Header.Set("Accept-Encoding", "identity") // sizes and sums are of the file itself
	return request, nil
}

func (w *web) about(ctx context.Context) (what about, err error) {
	for attempt := 1; ; attempt++ {
		what, err = w.head(ctx)
		if err == nil || !w.again(ctx, err, attempt) {
			return what, err
		}
	}
}

func (w *web) head(ctx context.Context) (about, error) {
	request, err := w.request(ctx, http.MethodHead)
	if err != nil {
		return about{}, err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return about{}, w.unreachable(err)
	}
	_ = response.Body.Close() // HEAD has none
	switch {
	case response.StatusCode == http.StatusMethodNotAllowed, response.StatusCode == http.StatusNotImplemented,
		response.StatusCode == http.StatusForbidden: // an address that is signed for GET alone
		return about{}, nil
	case response.StatusCode != http.StatusOK:
		return about{}, w.refused(response)
	}
	return aboutOf(response), nil
}

func aboutOf(response *http.Response) about {
	what := about{
		etag: response.Header.Get("ETag"), modified: response.Header.Get("Last-Modified"), size: max(response.ContentLength, 0),
		resumes: strings.Contains(response.Header.Get("Accept-Ranges"), "bytes"),
	}
	what.filename = dispositionName(response.Header.Get("Content-Disposition"))
	return what
}

// Attempts of a download that breaks off, and the wait before the second; it
// doubles.
const (
	attemptsMost = 6
	waitFirst    = 200 * time.Millisecond
)

// again reports whether to try again after an error, when the wait is over.
func (*web) again(ctx context.Context, err error, attempt int) bool {
	if attempt >= attemptsMost || !fault.Is(err, fault.Unavailable) {
		return false
	}
	timer := time.NewTimer(waitFirst << (attempt - 1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// copy goes on at the byte where a connection broke, if the file is still the
// same; it is an error where the server can only begin anew, since what came is
// written.
func (w *web) copy(ctx context.Context, what about, out io.Writer) error {
	var done int64
	for attempt := 1; ; attempt++ {
		before := done
		err := w.part(ctx, &what, &done, out)
		if err == nil {
			return nil
		}
		if done > before { // it came on
			attempt = 1
		}
		if done > 0 && what.etag == "" && what.modified == "" || !w.again(ctx, err, attempt) {
			return err
		}
	}
}

// part gets the file from a byte on.
func (w *web) part(ctx context.Context, what *about, done *int64, out io.Writer) error {
	request, err := w.request(ctx, http.MethodGet)
	if err != nil {
		return err
	}
	if *done > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", *done))
		validator := what.etag
		if validator == "" || strings.HasPrefix(validator, "W/") {
			validator = what.modified
		}
		request.Header.Set("If-Range", validator)
	}
	response, err := w.client.Do(request)
	if err != nil {
		return w.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	switch {
	case *done > 0 && response.StatusCode == http.StatusOK:
		return fault.New(fault.Invalid, "input_changed", "%s changed while it was downloaded, or its server cannot go on where it broke off", shown(w.source.URL)).
			WithHint("Run the step again.")
	case *done > 0 && response.StatusCode != http.StatusPartialContent, *done == 0 && response.StatusCode != http.StatusOK:
		return w.refused(response)
	case *done == 0 && what.etag == "" && what.modified == "":
		*what = aboutOf(response)
	}
	n, err := io.Copy(out, response.Body)
	*done += n
	if told := (*fault.Error)(nil); errors.As(err, &told) {
		return err
	}
	if err != nil {
		return w.unreachable(err)
	}
	return nil
}

func (w *web) unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) { // whose text has the whole address
		err = urlErr.Err
	}
	if errors.Is(err, errLinkLocal) {
		return fault.New(fault.Denied, "address_forbidden", "%s leads to a link-local address, which no input may come from", shown(w.source.URL)).
			WithHint("Name the file's own server.")
	}
	return fault.New(fault.Unavailable, "input_unreachable", "%s cannot be downloaded: %v", shown(w.source.URL), err).
		WithHint("Check the address, and the worker's way there.")
}

func (w *web) refused(response *http.Response) error {
	address := shown(w.source.URL)
	switch code := response.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return fault.New(fault.NotFound, "input_missing", "%s is not there (%s)", address, response.Status).
			WithHint("Check the address of the input.")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fault.New(fault.Denied, "input_denied", "%s is not given to this worker (%s)", address, response.Status).
			WithHint("Use a signed address, or let the worker's machine in.")
	case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return fault.New(fault.Unavailable, "input_unreachable", "%s cannot be downloaded at the moment (%s)", address, response.Status).
			WithHint("Try again later.")
	default:
		return fault.New(fault.Invalid, "input_refused", "%s is not given (%s)", address, response.Status).
			WithHint("Check the address of the input.")
	}
}

var errLinkLocal = errors.New("a link-local address")

// newClient reaches no link-local address, where a machine's own secrets are,
// and takes headers to no other host.
func newClient() *http.Client {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		panic("net/http's default transport is another's")
	}
	transport := base.Clone()
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || to.Addr().Unmap().IsLinkLocalUnicast() {
			return errLinkLocal
		}
		return nil
	}}
	transport.DialContext = dialer.DialContext
	transport.ResponseHeaderTimeout = time.Minute
	return &http.Client{Transport: transport, CheckRedirect: func(request *http.Request, via []*http.Request) error {
		const most = 10
		if len(via) >= most {
			return errors.New("too many redirects")
		}
		if request.URL.Host != via[0].URL.Host {
			for name := range via[0].Header {
				if name != "Range" && name != "If-Range" && name != "Accept-Encoding" {
					request.Header.Del(name)
				}
			}
		}
		return nil
	}}
}
