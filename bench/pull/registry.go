package main

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
	"slices"

	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const (
	repository = "ml/train"
	tag        = "v1"
	changedTag = "v2"
	user       = "robot"
	password   = "a-good-password"
	builder    = "builder" // who pushes
)

// farSide is the registry, in this process's memory, and the wire to it. The
// image's host is the wire's end, so that any client finds it without a name.
type farSide struct {
	registry *granttest.Registry
	wire     *wire
	host     string
	caFile   string // in a directory of its own
}

func (f *farSide) changedImage() string { return f.host + "/" + repository + ":" + changedTag }

func (f *farSide) image() string { return f.host + "/" + repository + ":" + tag }

func serve(ctx context.Context, m *model) (f *farSide, err error) {
	f = &farSide{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.wire, err = newWire(); err != nil {
		return f, err
	}
	f.host = f.wire.listener.Addr().String()
	if f.registry, err = granttest.Start(granttest.Options{Host: f.host}); err != nil {
		return f, err
	}
	f.wire.serve(f.registry.Address())
	f.registry.AddUser(user, password, granttest.Pull("ml/*"))
	f.registry.AddUser(builder, password, granttest.PullPush("ml/*"))
	dir, err := os.MkdirTemp("", "fairlead-bench-pull-ca-")
	if err != nil {
		return f, err
	}
	f.caFile = filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(f.caFile, f.registry.CA(), 0o644); err != nil {
		return f, err
	}
	if err := f.push(ctx, m); err != nil {
		return f, err
	}
	debug.FreeOSMemory()
	return f, nil
}

func (f *farSide) close() error {
	var errs []error
	if f.wire != nil {
		errs = append(errs, f.wire.close())
	}
	if f.registry != nil {
		errs = append(errs, f.registry.Close())
	}
	if f.caFile != "" {
		errs = append(errs, os.RemoveAll(filepath.Dir(f.caFile)))
	}
	return errors.Join(errs...)
}

// far is a client of the registry.
type far struct {
	route   *oci.Route
	http    *http.Client
	request oci.TokenRequest
}

// reach is how job's user reaches the registry.
func reach(host, caFile, user, password string) (*far, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	transport, err := oci.NewTransport(oci.Config{Hosts: []oci.HostRule{{Host: host, Address: host, CA: ca}}})
	if err != nil {
		return nil, err
	}
	route := transport.For(host)
	return &far{
		route: route, http: &http.Client{Transport: route},
		request: oci.TokenRequest{Repository: repository, User: user, Password: secret.New(password)},
	}, nil
}

// authorize asks the token service.
func (f *far) authorize(ctx context.Context) (oci.Authorization, error) {
	request := f.request
	challenges, err := oci.NewClient(f.route).Ping(ctx, oci.Anonymous)
	if err != nil {
		return oci.Anonymous, err
	}
	if len(challenges) == 0 {
		return oci.Anonymous, errors.New("the registry asks for no token")
	}
	request.Challenge = challenges[0]
	token, err := f.route.FetchToken(ctx, request)
	return oci.Bearer(token.Value), err
}

// do makes a request and expects one status.
func (f *far) do(ctx context.Context, method, url string, body []byte, header http.Header, authorization oci.Authorization, want int) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	authorization.Apply(request)
	response, err := f.http.Do(request)
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

// push puts the image into the registry. The registry's memory takes pieces: an
// upload in one request costs it time by the square of its length.
func (f *farSide) push(ctx context.Context, m *model) error {
	to, err := reach(f.host, f.caFile, builder, password)
	if err != nil {
		return err
	}
	to.request.Scopes = []string{"repository:" + repository + ":pull,push"}
	authorization, err := to.authorize(ctx)
	if err != nil {
		return err
	}
	for _, l := range append(slices.Clone(m.Layers), m.Top) {
		file, err := os.Open(filepath.Join(m.dir, l.File))
		if err != nil {
			return err
		}
		err = to.upload(ctx, file, l.Digest, authorization)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return errors.Join(to.name(ctx, m, tag, authorization), to.name(ctx, m.changed(), changedTag, authorization))
}

// name gives an image whose layers are there a tag.
func (f *far) name(ctx context.Context, m *model, tag string, authorization oci.Authorization) error {
	config, err := m.config(runtime.GOARCH)
	if err != nil {
		return err
	}
	t := newTally(io.Discard)
	if _, err := t.Write(config); err != nil {
		return err
	}
	if err := f.upload(ctx, bytes.NewReader(config), t.digest(), authorization); err != nil {
		return err
	}
	manifest, err := m.manifest(config)
	if err != nil {
		return err
	}
	url := f.route.URL("/v2/" + repository + "/manifests/" + tag).String()
	_, err = f.send(ctx, http.MethodPut, url, manifest, manifestType, authorization, http.StatusCreated)
	return err
}

// upload puts a blob into the registry.
func (f *far) upload(ctx context.Context, blob io.Reader, digest string, authorization oci.Authorization) error {
	place, err := f.send(ctx, http.MethodPost, f.route.URL("/v2/"+repository+"/blobs/uploads/").String(), nil, octets, authorization, http.StatusAccepted)
	if err != nil {
		return err
	}
	piece := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(blob, piece)
		if n == 0 {
			_, err := f.send(ctx, http.MethodPut, place+"&digest="+digest, nil, octets, authorization, http.StatusCreated)
			return err
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if place, err = f.send(ctx, http.MethodPatch, place, piece[:n], octets, authorization, http.StatusAccepted); err != nil {
			return err
		}
	}
}

// octets is the type of what has none.
const octets = "application/octet-stream"

// send makes a request with a body, and returns where the answer says to go on.
func (f *far) send(ctx context.Context, method, url string, body []byte, mediaType string, authorization oci.Authorization, want int) (location string, err error) {
	response, err := f.do(ctx, method, url, body, http.Header{"Content-Type": {mediaType}}, authorization, want)
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
