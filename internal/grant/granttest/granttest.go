// Package granttest runs honest fakes of registries: a real one, whose content
// and token checks are those of distribution, behind a small token service
// that knows users, rights and the manners of the registries it stands for.
//
// Tests and `fairlead demo` use it. It listens on 127.0.0.1 alone, speaks TLS
// with an authority made on the spot, keeps everything in memory, and is no
// registry to keep images in.
//
// Start with Start, or in a test with New; add users with AddUser and images
// with Push, and give Rules to oci.NewTransport.
package granttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/oci"
)

// Kind is the sort of registry that a fake stands for: its hosts, its way to
// be asked, and the words of its refusals.
type Kind string

// The kinds of registries.
const (
	// Generic has a token service on its own host: Harbor, GitLab, GHCR.
	Generic Kind = "generic"

	// Basic has no token service and takes user name and password with every
	// request.
	Basic Kind = "basic"

	// DockerHub is docker.io: API, token service and blobs on hosts of their
	// own, and pulls that are counted.
	DockerHub Kind = "docker-hub"

	// JFrog gives out tokens that nobody can read, and says only when a
	// manifest is asked for that there is no right to it.
	JFrog Kind = "jfrog"
)

// NoRight is how a token service answers who has no right to a repository.
type NoRight string

// The answers.
const (
	// EmptyAccess is a token that grants nothing: what Docker Hub does, and
	// what the specification says.
	EmptyAccess NoRight = "empty"

	// Refuse403 is a refusal with code DENIED, as GHCR and GitLab do.
	Refuse403 NoRight = "403"

	// Refuse401 is a refusal with code UNAUTHORIZED, as Quay does.
	Refuse401 NoRight = "401"
)

// Options say what to run. The zero value is a Generic registry.
type Options struct {
	Kind Kind

	// Host is the registry's name in images; registry.acme.example, docker.io,
	// acme.jfrog.io, docker-local.acme.jfrog.io or artifactory.acme.example:5001
	// if empty. Certificates are for it, and Rules lead it to
	// the address.
	Host string

	// RealmHost is the host of the token service; the registry's own, or
	// auth.docker.io, if empty.
	RealmHost string

	// RealmPath is the path of the token service; /service/token, /token at
	// auth.docker.io, and /v2/token at a JFrog if empty, except that of PortForm
	// it is that of a repository, /artifactory/api/docker/docker-local/v2/token.
	RealmPath string

	// Form is how a JFrog is named in images; PathForm if empty.
	Form Form

	// BlobHost is where blobs are redirected to, with a signed address that
	// takes no other authorization; none if empty, except that DockerHub has
	// production.cloudfront.docker.com.
	BlobHost string

	// Lifetime of tokens, in whole seconds; five minutes if 0. The registry
	// takes a token for a minute longer.
	Lifetime time.Duration

	// SilentLifetime leaves the lifetime out of the answers, which means a
	// minute to every client.
	SilentLifetime bool

	// NoRight is how the token service answers who has no right; EmptyAccess
	// if empty. Nothing to Basic and JFrog.
	NoRight NoRight

	// Lax makes the token service give everybody what nobody in particular gets,
	// a wrong secret or not: who asks is looked at where a repository is asked
	// for, if anywhere.
	Lax bool

	// NoCatalogue is a registry without a list of its repositories, as Docker
	// Hub always is.
	NoCatalogue bool

	// NoTags is a registry that lists the tags of a repository to nobody.
	NoTags bool

	// CataloguePage is how many repositories one page of the list has at most;
	// 100 if 0.
	CataloguePage int

	// PostOnly makes the token service answer GET with 405.
	PostOnly bool

	// OnExchange is called for each request to the token service, before the
	// answer. It may block, to hold the answer back, and may be called
	// concurrently.
	OnExchange func(Exchange)
}

func (o Options) withDefaults() Options {
	if o.Kind == "" {
		o.Kind = Generic
	}
	host, realm, blobs, path := "registry.acme.example", "", "", "/service/token"
	switch o.Kind {
	case DockerHub:
		host, realm, blobs, path = "docker.io", "auth.docker.io", "production.cloudfront.docker.com", "/token"
		o.NoCatalogue = true
	case JFrog:
		host, path = "acme.jfrog.io", "/v2/token"
		switch o.Form {
		case PortForm:
			host, path = "artifactory.acme.example:5001", artifactoryAPI+"docker-local/v2/token"
		case SubdomainForm:
			host = "docker-local.acme.jfrog.io"
		default:
			o.Form = PathForm
		}
	case Generic, Basic:
	}
	if o.RealmPath == "" {
		o.RealmPath = path
	}
	if o.CataloguePage == 0 {
		o.CataloguePage = 100
	}
	if o.Host == "" {
		o.Host = host
	}
	if o.RealmHost == "" {
		o.RealmHost = realm
	}
	if o.RealmHost == "" {
		o.RealmHost = apiHost(o.Host)
	}
	if o.BlobHost == "" {
		o.BlobHost = blobs
	}
	if o.Lifetime == 0 {
		o.Lifetime = 5 * time.Minute
	}
	if o.NoRight == "" {
		o.NoRight = EmptyAccess
	}
	return o
}

// apiHost is the host that an image's host is really asked on.
func apiHost(host string) string {
	if host == "docker.io" {
		return "registry-1.docker.io"
	}
	return host
}

// pushHost is a way in past the fake's manners, for Push alone: the registry
// behind it checks tokens like everywhere.
const pushHost = "push.granttest.invalid"

// Registry is a running fake. All its methods are safe for concurrent use.
type Registry struct {
	options    Options
	authority  *authority
	signer     *signer
	people     *people
	conditions conditions
	ledger     *ledger

	cloud cloud // nil: a registry that stands alone

	app     *handlers.App
	server  *http.Server
	address string
	served  chan error
	close   func() error
}

// Start runs a fake until Close.
func Start(options Options) (*Registry, error) { return start(options, nil) }

// start runs a fake, with a cloud around it unless around is nil.
func start(options Options, around func(*Registry) (cloud, error)) (*Registry, error) {
	options = options.withDefaults()
	r := &Registry{options: options, people: newPeople(), ledger: newLedger(), served: make(chan error, 1)}
	var err error
	names := []string{apiHost(options.Host), options.RealmHost, options.BlobHost, pushHost}
	if around != nil {
		if r.cloud, err = around(r); err != nil {
			return nil, err
		}
		names = append(names, r.cloud.hosts()...)
	}
	if r.authority, err = newAuthority(names...); err != nil {
		return nil, err
	}
	if r.signer, err = newSigner(r.service()); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a fake registry: %w", err)
	}
	restoreLog := silenceLog()
	if r.app, err = newApp(r.signer, r.realm()); err != nil {
		restoreLog()
		return nil, errors.Join(err, listener.Close())
	}
	r.address = listener.Addr().String()
	r.server = &http.Server{
		Handler:           r.handler(),
		TLSConfig:         r.authority.serverConfig(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that does not trust us is the client's to tell
	}
	r.close = sync.OnceValue(func() error {
		defer restoreLog()
		err := r.server.Close()
		if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return errors.Join(err, r.app.Shutdown())
	})
	go func() { r.served <- r.server.ServeTLS(listener, "", "") }()
	if options.Kind == DockerHub {
		if err := r.previewLimit(); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// previewLimit pushes the public image that Docker Hub has to ask for the rate
// limit with. https://docs.docker.com/docker-hub/usage/pulls/
func (r *Registry) previewLimit() error {
	const repository = "ratelimitpreview/test"
	r.Public(repository)
	_, err := r.Push(context.Background(), repository, "latest", empty.Image)
	return err
}

// Close breaks every connection off and ends the fake; what was pushed is
// gone. Further calls give the first one's error.
func (r *Registry) Close() error { return r.close() }

// Host is the registry's name in images: registry.acme.example.
func (r *Registry) Host() string { return r.options.Host }

// Address is the 127.0.0.1:port that everything is served on.
func (r *Registry) Address() string { return r.address }

// CA is the PEM certificate of the authority that all its hosts' certificates
// are from.
func (r *Registry) CA() []byte { return r.authority.pem }

// Rules lead each of its hosts to its address, and trust its authority there.
func (r *Registry) Rules() []oci.HostRule {
	hosts := []string{r.options.Host}
	others := []string{r.options.RealmHost, r.options.BlobHost}
	if r.cloud != nil {
		others = append(others, r.cloud.hosts()...)
	}
	for _, host := range others {
		if host != "" && host != apiHost(r.options.Host) && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	rules := make([]oci.HostRule, len(hosts))
	for i, host := range hosts {
		rules[i] = oci.HostRule{Host: host, Address: r.address, CA: r.CA()}
	}
	return rules
}

// Content is what can be pushed: a v1.Image or a v1.ImageIndex.
type Content interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Push puts an image or an index into a repository under a tag and returns its
// digest. It asks nobody's rights and is counted nowhere.
func (r *Registry) Push(ctx context.Context, repository, tag string, content Content) (digest.Digest, error) {
	ref, err := name.NewTag(pushHost+"/"+repository+":"+tag, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("pushing to a fake registry: %w", err)
	}
	token, err := r.signer.sign("push", time.Now(), time.Hour, []oci.Access{access(repository, "pull", "push")})
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		TLSClientConfig: r.authority.clientConfig(),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.address)
		},
	}
	defer transport.CloseIdleConnections()
	err = remote.Push(ref, content, remote.WithContext(ctx), remote.WithTransport(transport),
		remote.WithAuth(authn.FromConfig(authn.AuthConfig{RegistryToken: token})))
	if err != nil {
		return "", fmt.Errorf("pushing %s/%s:%s to a fake registry: %w", r.options.Host, repository, tag, err)
	}
	r.ledger.push(repository)
	hash, err := content.Digest()
	if err != nil {
		return "", fmt.Errorf("reading the digest of what was pushed: %w", err)
	}
	return digest.Digest(hash.String()), nil
}
