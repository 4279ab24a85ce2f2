package far

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"

	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Who may pull the images, and what they are called.
const (
	User       = "robot"
	Password   = "a-good-password"
	Repository = "ml/train"

	builder = "builder" // who pushes
)

// Side is the registry, in this process's memory, and the wire to it. The
// images' host is the wire's end, so that any client finds it without a name.
type Side struct {
	Host   string // and port, by https
	CAFile string // in a directory of its own

	registry *granttest.Registry
	wire     *wire
	pushed   map[string]bool // digests of layers
}

// Serve starts a registry that has no image yet. Whoever gets no error closes it.
func Serve() (s *Side, err error) {
	s = &Side{pushed: make(map[string]bool)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.wire, err = newWire(); err != nil {
		return s, err
	}
	s.Host = s.wire.listener.Addr().String()
	if s.registry, err = granttest.Start(granttest.Options{Host: s.Host}); err != nil {
		return s, err
	}
	s.wire.serve(s.registry.Address())
	s.registry.AddUser(User, Password, granttest.Pull("ml/*"))
	s.registry.AddUser(builder, Password, granttest.PullPush("ml/*"))
	dir, err := os.MkdirTemp("", "fairlead-bench-ca-")
	if err != nil {
		return s, err
	}
	s.CAFile = filepath.Join(dir, "ca.crt")
	return s, os.WriteFile(s.CAFile, s.registry.CA(), 0o644)
}

// Close ends the registry and every connection to it.
func (s *Side) Close() error {
	var errs []error
	if s.wire != nil {
		errs = append(errs, s.wire.close())
	}
	if s.registry != nil {
		errs = append(errs, s.registry.Close())
	}
	if s.CAFile != "" {
		errs = append(errs, os.RemoveAll(filepath.Dir(s.CAFile)))
	}
	return errors.Join(errs...)
}

// Image is the reference of the image with a tag.
func (s *Side) Image(tag string) string { return s.Host + "/" + Repository + ":" + tag }

// Use says over which of Links connections from now on go; those that are open
// stay as they are.
func (s *Side) Use(link string) { s.wire.use(link) }

// Sent is how many bytes the registry has sent so far, TLS and HTTP included. Of a
// connection that is open over the unthrottled link, up to 256 KiB are not
// counted yet.
func (s *Side) Sent() int64 { return s.wire.sent.Load() }

// Drop ends the connections that there are; whoever is still there connects anew.
func (s *Side) Drop() { s.wire.dropAll() }

// Cut takes the registry away for good: open connections end, and new ones are
// closed at once.
func (s *Side) Cut() { s.wire.cut() }

// Client is one user's client of the registry.
type Client struct {
	Route *oci.Route

	http    *http.Client
	request oci.TokenRequest
}

// Reach is how a user reaches the registry at host, whose certificate's issuer
// is in caFile.
func Reach(host, caFile, user, password string) (*Client, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	transport, err := oci.NewTransport(oci.Config{Hosts: []oci.HostRule{{Host: host, Address: host, CA: ca}}})
	if err != nil {
		return nil, err
	}
	route := transport.For(host)
	return &Client{
		Route: route, http: &http.Client{Transport: route},
		request: oci.TokenRequest{Repository: Repository, User: user, Password: secret.New(password)},
	}, nil
}

// Authorize asks the token service.
func (c *Client) Authorize(ctx context.Context) (oci.Authorization, error) {
	request := c.request
	challenges, err := oci.NewClient(c.Route).Ping(ctx, oci.Anonymous)
	if err != nil {
		return oci.Anonymous, err
	}
	if len(challenges) == 0 {
		return oci.Anonymous, errors.New("the registry asks for no token")
	}
	request.Challenge = challenges[0]
	token, err := c.Route.FetchToken(ctx, request)
	return oci.Bearer(token.Value), err
}

// Once asks for an authorization when it is first wanted, and keeps it until it
// is refused, as a worker does. Any number may call it at once.
func (c *Client) Once() func(ctx context.Context, refused bool) (oci.Authorization, error) {
	var mu sync.Mutex
	var known *oci.Authorization
	return func(ctx context.Context, refused bool) (oci.Authorization, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil && !refused {
			return *known, nil
		}
		given, err := c.Authorize(ctx)
		if err == nil {
			known = &given
		}
		return given, err
	}
}

// Do makes a request and expects one status. The caller closes the body.
func (c *Client) Do(ctx context.Context, method, url string, body []byte, header http.Header, authorization oci.Authorization, want int) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, fmt.Errorf("%s %s: %s: %s", method, request.URL.Path, response.Status, text)
	}
	return response, nil
}

// Push puts an image into the registry, under tag. Its layers are read from its
// directory; those that another image brought are not pushed again.
func (s *Side) Push(ctx context.Context, m *Model, tag string) error {
	to, err := Reach(s.Host, s.CAFile, builder, Password)
	if err != nil {
		return err
	}
	to.request.Scopes = []string{"repository:" + Repository + ":pull,push"}
	authorization, err := to.Authorize(ctx)
	if err != nil {
		return err
	}
	for _, l := range m.Layers {
		if s.pushed[l.Digest] {
			continue
		}
		file, err := os.Open(filepath.Join(m.Dir, l.File))
		if err != nil {
			return err
		}
		err = to.upload(ctx, file, l.Digest, authorization)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		s.pushed[l.Digest] = true
	}
	debug.FreeOSMemory() // of what is measured next, none is paid for this
	return to.name(ctx, m, tag, authorization)
}

// name gives an image whose layers are there a tag.
func (c *Client) name(ctx context.Context, m *Model, tag string, authorization oci.Authorization) error {
	config, err := m.config(runtime.GOARCH)
	if err != nil {
		return err
	}
	t := newTally(io.Discard)
	if _, err := t.Write(config); err != nil {
		return err
	}
	if err := c.upload(ctx, bytes.NewReader(config), t.digest(), authorization); err != nil {
		return err
	}
	manifest, err := m.manifest(config)
	if err != nil {
		return err
	}
	url := c.Route.URL("/v2/" + Repository + "/manifests/" + tag).String()
	_, err = c.send(ctx, http.MethodPut, url, manifest, ManifestType, authorization, http.StatusCreated)
	return err
}

// upload puts a blob into the registry. Its memory takes pieces: an upload in
// one request costs it time by the square of its length.
func (c *Client) upload(ctx context.Context, blob io.Reader, digest string, authorization oci.Authorization) error {
	place, err := c.send(ctx, http.MethodPost, c.Route.URL("/v2/"+Repository+"/blobs/uploads/").String(), nil, octets, authorization, http.StatusAccepted)
	if err != nil {
		return err
	}
	piece := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(blob, piece)
		if n == 0 {
			_, err := c.send(ctx, http.MethodPut, place+"&digest="+digest, nil, octets, authorization, http.StatusCreated)
			return err
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if place, err = c.send(ctx, http.MethodPatch, place, piece[:n], octets, authorization, http.StatusAccepted); err != nil {
			return err
		}
	}
}

// octets is the type of what has none.
const octets = "application/octet-stream"

// send makes a request with a body, and returns where the answer says to go on.
func (c *Client) send(ctx context.Context, method, url string, body []byte, mediaType string, authorization oci.Authorization, want int) (location string, err error) {
	response, err := c.Do(ctx, method, url, body, http.Header{"Content-Type": {mediaType}}, authorization, want)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	next, err := response.Location()
	if err != nil {
		return "", err
	}
	return next.String(), nil
}
