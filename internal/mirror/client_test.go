package mirror_test

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/mirror"
)

func TestNobodyIsAskedToLogIn(t *testing.T) {
	far := newDistribution(t)
	img, _, _ := randomImage(t)
	far.push(t, "ada/train:v1", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, as := range map[string]string{
		"nobody": "nobody", "another password": basic("ada:ben's password"), "an unknown user": basic("eve:ada's password"),
		"an unknown token": "Bearer none", "no user": basic(":"), "another scheme": "Negotiate abc", "a broken header": "Basic %%%", "an empty token": "Bearer ",
	} {
		for _, path := range []string{"/v2/", "/v2", manifestPath(acme, "ada/train", "v1"), "/v2/" + acme + "/ada/train/blobs/" + someDigest, "/v2/" + acme + "/ada/train/tags/list"} {
			a := h.send(request{path: path, as: as})
			told := wantError(t, a, http.StatusUnauthorized, "UNAUTHORIZED")
			wantHeader(t, a, map[string]string{"Www-Authenticate": `Basic realm="Fairlead"`})
			if strings.Contains(told.Message, "password") || !strings.Contains(told.Message, "Log in") {
				t.Errorf("%s: %q", name, told.Message)
			}
		}
	}
}

func TestWhoIsKnownIsLetIn(t *testing.T) {
	far := newDistribution(t)
	img, _, _ := randomImage(t)
	far.push(t, "ada/train:v1", img)
	far.push(t, "network/train:v1", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	h.porter.networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for as, repository := range map[string]string{"ada": "ada/train", "Bearer ada's token": "ada/train", "bearer ada's token": "ada/train", "nobody": "network/train"} {
		if a := h.send(request{path: "/v2/", as: as}); a.StatusCode != http.StatusOK || string(a.body) != "{}" {
			t.Errorf("%s: %s %s", as, a.Status, a.body)
		}
		if a := h.send(request{path: manifestPath(acme, repository, "v1"), as: as}); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", as, a.Status, a.body)
		}
	}
	wantError(t, h.send(request{path: manifestPath(acme, "ada/train", "v1"), as: "ben"}), http.StatusNotFound, "NAME_UNKNOWN")
	wantError(t, h.send(request{path: manifestPath(acme, "ada/train", "v1"), as: "nobody"}), http.StatusNotFound, "NAME_UNKNOWN")
}

func TestAHeaderDoesNotSayWhereAClientIs(t *testing.T) {
	h := newHouse(t, newPassThrough(t, nil), options{})
	h.porter.networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	header := http.Header{"X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=10.0.0.1"}, "X-Real-Ip": {"10.0.0.1"}}
	wantError(t, h.send(request{path: "/v2/", as: "nobody", header: header}), http.StatusUnauthorized, "UNAUTHORIZED")
}

func TestTheLogSaysWhoAskedForWhatAndHoldsNoSecret(t *testing.T) {
	far := newDistribution(t)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	h.get(manifestPath(acme, "ada/train", "v1") + "?token=s3cret")
	line := h.line("image_not_found")
	for name, want := range map[string]any{
		"method": "GET", "path": manifestPath(acme, "ada/train", "v1"), "status": 404.0, "client": "ada", "remote": "127.0.0.1",
		"image": acme + "/ada/train:v1", "level": "INFO",
	} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
	for name, value := range line {
		if text, ok := value.(string); ok && (strings.Contains(text, "s3cret") || strings.Contains(text, "password")) {
			t.Errorf("%s holds a secret: %s", name, text)
		}
	}
}

func TestADoorWithoutAllOfItsPartsIsNotOpened(t *testing.T) {
	whole := mirror.Config{Backend: newPassThrough(t, nil), Authenticator: &porter{}, Logger: slog.New(slog.DiscardHandler)}
	if _, err := mirror.New(whole); err != nil {
		t.Error(err)
	}
	for name, less := range map[string]func(*mirror.Config){
		"backend": func(c *mirror.Config) { c.Backend = nil }, "authenticator": func(c *mirror.Config) { c.Authenticator = nil }, "logger": func(c *mirror.Config) { c.Logger = nil },
	} {
		config := whole
		less(&config)
		if _, err := mirror.New(config); err == nil {
			t.Errorf("without %s it opens", name)
		}
	}
	for _, unnamed := range []string{"docker", "docker.io/library", "Docker.io", "https://docker.io", "index.docker.io", "a@b.c"} {
		config := whole
		config.Unnamed = unnamed
		if _, err := mirror.New(config); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", unnamed, err)
		}
	}
}
