package mirror_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/mirror"
)

var update = flag.Bool("update", false, "write the golden files anew")

func setup(t testing.TB, cache string, upstreams []string, ca string, byPath bool) mirror.Setup {
	t.Helper()
	s, err := mirror.NewSetup(cache, upstreams, ca, byPath)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden compares a configuration with what is in testdata.
func golden(t *testing.T, name string, c mirror.Configuration) {
	t.Helper()
	var b strings.Builder
	for _, file := range c.Files {
		fmt.Fprintf(&b, "-- %s --\n%s", file.Path, file.Text)
	}
	b.WriteString("-- notes --\n" + strings.Join(c.Notes, "\n") + "\n")
	path := filepath.Join("testdata", "setup", name+".txtar")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s:\n%s", name, diff)
	}
}

func TestDockerIsToldOfTheCacheAsAMirrorOfTheHub(t *testing.T) {
	c, err := setup(t, "https://cache.example", []string{"docker.io", "ghcr.io"}, "/etc/ssl/cache.crt", false).Docker()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "docker", c)
	var daemon map[string][]string
	if err := json.Unmarshal([]byte(c.Files[0].Text), &daemon); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"registry-mirrors": {"https://cache.example"}}, daemon); diff != "" {
		t.Error(diff)
	}
	plain, err := setup(t, "http://Cache.example:5000/", []string{"index.docker.io"}, "", false).Docker()
	if err != nil {
		t.Fatal(err)
	}
	daemon = nil
	if err := json.Unmarshal([]byte(plain.Files[0].Text), &daemon); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"registry-mirrors": {"http://cache.example:5000"}, "insecure-registries": {"cache.example:5000"}}, daemon); diff != "" {
		t.Error(diff)
	}
	if _, err := setup(t, "https://cache.example", []string{"ghcr.io"}, "", false).Docker(); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Hint, "cache.example/ghcr.io/") {
		t.Errorf("%v", err)
	}
}

// place puts a configuration's files where containerd would find them, below a
// directory, and gives that of the registries.
func place(t testing.TB, c mirror.Configuration) (certs string) {
	t.Helper()
	root := t.TempDir()
	for _, file := range c.Files {
		path := filepath.Join(root, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "etc/containerd/certs.d")
}

// asked is how containerd's own code reads where a registry's images are asked for.
func asked(t testing.TB, certs, host string) []docker.RegistryHost {
	t.Helper()
	hosts, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(certs)})(host)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

func TestContainerdAsksTheCacheFirst(t *testing.T) {
	upstreams := []string{"docker.io", "ghcr.io", "registry.acme.example:5000"}
	const reads = docker.HostCapabilityPull | docker.HostCapabilityResolve
	ca := filepath.Join(t.TempDir(), "ca.crt") // read when the files are
	h := newHouse(t, newPassThrough(t, nil), options{})
	if text, err := os.ReadFile(h.authority()); err != nil || os.WriteFile(ca, text, 0o600) != nil {
		t.Fatal(err)
	}
	servers := map[string]string{"docker.io": "registry-1.docker.io", "ghcr.io": "ghcr.io", "registry.acme.example:5000": "registry.acme.example:5000"}
	for byPath, suffix := range map[bool]string{false: "", true: "-by-path"} {
		golden(t, "containerd"+suffix, setup(t, "https://cache.example", upstreams, "/etc/ssl/cache.crt", byPath).Containerd())
		certs := place(t, setup(t, "https://cache.example", upstreams, ca, byPath).Containerd())
		for _, upstream := range upstreams {
			hosts := asked(t, certs, upstream)
			if len(hosts) != 2 {
				t.Fatalf("%s is asked for at %d hosts", upstream, len(hosts))
			}
			path := "/v2"
			if byPath {
				path = "/v2/" + upstream
			}
			if cache := hosts[0]; cache.Scheme != "https" || cache.Host != "cache.example" || cache.Path != path || cache.Capabilities != reads {
				t.Errorf("%s is asked for at %+v first", upstream, cache)
			}
			if server := hosts[1]; server.Scheme != "https" || server.Host != servers[upstream] || server.Path != "/v2" {
				t.Errorf("%s is asked for at %+v then", upstream, server)
			}
		}
	}
}

func TestKubernetesGetsNodesAndAPullSecret(t *testing.T) {
	c, err := setup(t, "https://cache.example", []string{"docker.io"}, "/etc/ssl/cache.crt", false).Kubernetes()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "kubernetes", c)
	var secret struct {
		Kind, Type string
		StringData map[string]string `yaml:"stringData"`
	}
	if err := yaml.Unmarshal([]byte(c.Files[len(c.Files)-1].Text), &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Kind != "Secret" || secret.Type != "kubernetes.io/dockerconfigjson" {
		t.Errorf("%+v", secret)
	}
	var login struct {
		Auths map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal([]byte(secret.StringData[".dockerconfigjson"]), &login); err != nil {
		t.Fatal(err)
	}
	if login.Auths["cache.example"].Password != "TOKEN" {
		t.Errorf("%+v", login)
	}
}

func TestAClientIsNotToldOfWhatIsNoCache(t *testing.T) {
	for name, c := range map[string]struct {
		cache     string
		upstreams []string
		ca        string
		field     string
	}{
		"no address":         {"", []string{"docker.io"}, "", "url"},
		"no scheme":          {"cache.example", []string{"docker.io"}, "", "url"},
		"a path":             {"https://cache.example/v2/", []string{"docker.io"}, "", "url"},
		"a password":         {"https://ada:s3cret@cache.example", []string{"docker.io"}, "", "url"},
		"a query":            {"https://cache.example?x", []string{"docker.io"}, "", "url"},
		"no registry":        {"https://cache.example", nil, "", "upstream"},
		"half a registry":    {"https://cache.example", []string{"docker"}, "", "upstream"},
		"a repository":       {"https://cache.example", []string{"docker.io/library"}, "", "upstream"},
		"a way out":          {"https://cache.example", []string{"../../../etc"}, "", "upstream"},
		"a quote":            {"https://cache.example", []string{`a.b"]`}, "", "upstream"},
		"a file from here":   {"https://cache.example", []string{"docker.io"}, "cache.crt", "ca"},
		"a file with a line": {"https://cache.example", []string{"docker.io"}, "/etc/\n[host]", "ca"},
	} {
		_, err := mirror.NewSetup(c.cache, c.upstreams, c.ca, false)
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != c.field || strings.Contains(f.Sentence(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
