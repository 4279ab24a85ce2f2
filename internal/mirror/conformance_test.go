//go:build conformance

package mirror_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// program finds one of the programs that make test-conformance installs.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: make test-conformance installs it", err)
	}
	return path
}

// conform runs the specification's own suite against a door, as ada, and fails the
// test unless it passes as a whole and passes each of these APIs.
func conform(t *testing.T, h *house, repository string, settings []string, apis ...string) {
	t.Helper()
	results := t.TempDir()
	command := exec.CommandContext(t.Context(), program(t, "conformance"))
	command.Dir = results
	command.Env = append(os.Environ(),
		"OCI_REGISTRY="+strings.TrimPrefix(h.server.URL, "https://"), "SSL_CERT_FILE="+h.authority(), "OCI_USERNAME=ada", "OCI_PASSWORD=ada's password",
		"OCI_REPO1="+repository+"1", "OCI_REPO2="+repository+"2", "OCI_VERSION=1.1", "OCI_RESULTS_DIR="+results,
		"OCI_API_TAGS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_BLOBS_DELETE=false",
		"OCI_API_BLOBS_DIGEST_HEADER=true", // which the specification leaves open
	)
	command.Env = append(command.Env, settings...)
	// What counts is what it prints: where it is told to push nothing, it ends in a
	// panic of its own when it writes the same to a file.
	printed, err := command.CombinedOutput()
	found := make(map[string]string)
	for line := range strings.Lines(string(printed)) {
		if what, result, isResult := strings.Cut(line, ":"); isResult {
			found[strings.TrimRight(strings.TrimSpace(what), ".")] = strings.TrimSpace(result)
		}
	}
	if found["OCI Conformance Result"] != "Pass" {
		t.Errorf("the suite says %q (%v):\n%s", found["OCI Conformance Result"], err, printed)
	}
	for _, api := range apis {
		if found[api] != "Pass" {
			t.Errorf("%s: %q", api, found[api])
		}
	}
	t.Logf("the suite: %s of %s passed, %s were of no use here", found["Pass"], found["Total"], found["Skip"])
}

// pulls are what the suite calls the APIs of this door.
var pulls = []string{
	"Ping", "Blob get", "Blob head",
	"Manifest get by digest", "Manifest get by tag", "Manifest head by digest", "Manifest head by tag",
}

// The suite pushes images of every form, which go to the upstream behind the
// door's back, and pulls them through the door.
func TestTheSpecificationsOwnSuitePullsWhatItPushedUpstream(t *testing.T) {
	far := newDistribution(t)
	behind, err := url.Parse(far.back.URL)
	if err != nil {
		t.Fatal(err)
	}
	push := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		r.Out.URL.Path = strings.Replace(r.Out.URL.Path, "/v2/"+acme+"/", "/v2/", 1)
	}}
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{unnamed: acme, around: func(door http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && !strings.Contains(r.URL.Path, "/uploads/") || r.Method == http.MethodHead {
				door.ServeHTTP(w, r)
			} else {
				push.ServeHTTP(w, r)
			}
		})
	}})
	conform(t, h, "ada/repository", []string{
		"OCI_API_MANIFESTS_DIGEST_HEADER=true", // also open; of manifests that it did not push, the suite does not find it
		// What distribution has not, or refuses to be pushed.
		"OCI_API_REFERRER=false", "OCI_DATA_SHA512=false", "OCI_DATA_NONDISTRIBUTABLE=false",
		// It forgets to list the suite's tag, "index"; the suite that reads alone asks for tags.
		"OCI_API_TAGS_LIST=false",
	}, append(pulls, "Blob get range")...)
}

// The suite reads what is there, by path, also from a registry that knows more.
func TestTheSpecificationsOwnSuiteReadsByPath(t *testing.T) {
	for host, far := range map[string]*upstream{acme: newDistribution(t), linked: newLinked(t)} {
		t.Run(host, func(t *testing.T) {
			img, _, d := randomImage(t)
			for _, tag := range []string{"v1", "v2", "v3"} {
				far.push(t, "ada/train1:"+tag, img)
			}
			blob := far.pushBlob(t, "ada/train1", bytesOf(t, 1, 1000))
			h := newHouse(t, newPassThrough(t, map[string]*upstream{host: far}), options{})
			settings := []string{"OCI_API_PUSH=false", "OCI_RO_DATA_TAGS=v1 v2 v3", "OCI_RO_DATA_MANIFESTS=" + d.String(), "OCI_RO_DATA_BLOBS=" + blob.String()}
			apis := append([]string{"Tag listing"}, pulls...)
			if host == linked {
				refer(t, far, "ada/train1", img, "application/vnd.acme.signature")
				settings, apis = append(settings, "OCI_RO_DATA_REFERRERS="+d.String()), append(apis, "Referrers")
			} else {
				settings = append(settings, "OCI_API_REFERRER=false")
			}
			conform(t, h, host+"/ada/train", settings, apis...)
		})
	}
}
