package granttest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"fairlead.dev/fairlead/internal/grant/granttest"
)

// strangersTransport reaches a fake as any other client would, which knows
// nothing of Fairlead.
func strangersTransport(t *testing.T, r *granttest.Registry) *http.Transport {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.CA()) {
		t.Fatal("the CA is no PEM certificate")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.Address())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// pullAll reads an image to its last layer with the client of
// go-containerregistry.
func pullAll(t *testing.T, r *granttest.Registry, api, repository string, who authn.Authenticator) error {
	t.Helper()
	ref, err := name.NewTag(api + "/" + repository + ":v1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithTransport(strangersTransport(t, r)), remote.WithAuth(who))
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, content)
		if err := content.Close(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAnotherClientPullsWhatWasPushedFromEveryKindOfRegistryAndOnlyWithTheRight(t *testing.T) {
	apis := map[granttest.Kind]string{
		granttest.Generic:   "registry.acme.example",
		granttest.Basic:     "registry.acme.example",
		granttest.DockerHub: "registry-1.docker.io",
		granttest.JFrog:     "acme.jfrog.io",
	}
	for kind, api := range apis {
		t.Run(string(kind), func(t *testing.T) {
			r := granttest.New(t, granttest.Options{Kind: kind})
			r.AddUser("robot", "s3cret-robot", granttest.Pull("acme/train"))
			for _, repository := range []string{"acme/train", "acme/other"} {
				if _, err := r.Push(t.Context(), repository, "v1", randomImage(t)); err != nil {
					t.Fatal(err)
				}
			}
			robot := &authn.Basic{Username: "robot", Password: "s3cret-robot"}
			if err := pullAll(t, r, api, "acme/train", robot); err != nil {
				t.Errorf("pulling with the right to: %v", err)
			}
			if err := pullAll(t, r, api, "acme/other", robot); err == nil {
				t.Error("another repository was pulled without the right to")
			}
			if err := pullAll(t, r, api, "acme/train", authn.Anonymous); err == nil {
				t.Error("a private repository was pulled by nobody")
			}

			tag, err := name.NewTag(api + "/acme/train:v2")
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(tag, randomImage(t), remote.WithTransport(strangersTransport(t, r)), remote.WithAuth(robot)); err == nil {
				t.Error("an image was pushed without the right to")
			}
		})
	}
}

func TestTheRegistryItselfRefusesATokenThatIsNotOfItsTokenService(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	other := granttest.New(t, granttest.Options{})
	other.AddUser("robot", "s3cret", granttest.Pull("*/*"))
	if _, err := r.Push(t.Context(), "acme/train", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	token := fetch(t, other, "robot", "s3cret")
	err := pullAll(t, r, "registry.acme.example", "acme/train", authn.FromConfig(authn.AuthConfig{RegistryToken: token}))
	if err == nil {
		t.Error("a token of another token service was taken")
	}
}

func TestExchangesAreCountedByUserAndScopeAndPushesAreNot(t *testing.T) {
	var seen []granttest.Exchange
	r := granttest.New(t, granttest.Options{OnExchange: func(e granttest.Exchange) { seen = append(seen, e) }})
	r.AddUser("robot", "s3cret", granttest.Pull("acme/*"))
	if _, err := r.Push(t.Context(), "acme/train", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	if n := r.Exchanges() + r.ManifestRequests("acme/train") + r.BlobRequests("acme/train"); n != 0 {
		t.Errorf("a push was counted as %d requests", n)
	}
	fetch(t, r, "robot", "s3cret")
	want := []granttest.Exchange{{Method: http.MethodGet, User: "robot", Scope: "repository:acme/train:pull"}}
	if diff := cmp.Diff(want, r.ExchangeLog()); diff != "" {
		t.Errorf("exchanges (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("exchanges seen (-want +got):\n%s", diff)
	}
	if r.Exchanges() != 1 || r.ExchangesOf("robot", "acme/train") != 1 || r.ExchangesOf("robot", "acme/other") != 0 {
		t.Error("the counts differ from the log")
	}
}

func TestClosingTwiceIsAllowed(t *testing.T) {
	r, err := granttest.Start(granttest.Options{Lifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
}

// fetch asks the token service of a generic registry for the right to pull
// acme/train.
func fetch(t *testing.T, r *granttest.Registry, user, password string) string {
	t.Helper()
	query := url.Values{"service": {r.Host()}, "scope": {"repository:acme/train:pull"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.Host()+"/service/token?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user, password)
	response, err := strangersTransport(t, r).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	var answer struct{ Token string }
	if err := json.NewDecoder(io.TeeReader(response.Body, &body)).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("the token service answered %d: %s", response.StatusCode, &body)
	}
	return answer.Token
}
