package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// settle reads a server's settings as the command line does.
func settle(t *testing.T, file string, args ...string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fairlead.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var config Config
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config, Settle(set, path, func(key string) bool { return key == "project" })
}

func TestTheCommandLineGoesBeforeVariablesAndThoseBeforeTheFile(t *testing.T) {
	t.Setenv("FAIRLEAD_LISTEN", "127.0.0.1:2")
	t.Setenv("FAIRLEAD_ORGANIZATION", "of-the-variable")
	t.Setenv("FAIRLEAD_LOG_LEVEL", "") // an empty one is none
	file := "listen: 127.0.0.1:3\norganization: of-the-file\nadmin: of-the-file\nlog-level: warn\nproject: another-commands\n"
	config, err := settle(t, file, "--listen", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{config.Listen, config.Organization, config.Admin, config.LogLevel, config.LogFormat}
	if diff := cmp.Diff([]string{"127.0.0.1:1", "of-the-variable", "of-the-file", "warn", "auto"}, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestThroughTheCacheIsAWordOrAnAddress(t *testing.T) {
	for _, test := range []struct {
		args   []string
		file   string
		always bool
		url    string
	}{
		{nil, "", false, ""},
		{[]string{"--through-cache"}, "", true, ""},
		{[]string{"--through-cache=https://near.example/cache"}, "", true, "https://near.example/cache"},
		{nil, "through-cache: true\n", true, ""},
		{nil, "through-cache: http://near.example:8080\n", true, "http://near.example:8080"},
		{[]string{"--through-cache=false"}, "through-cache: true\n", false, ""},
	} {
		config, err := settle(t, test.file, append(test.args, "--cache", "file:///cache")...)
		if err == nil {
			config, err = config.settled()
		}
		if use := config.Worker.cache(secret.New("token")); err != nil || use.Always != test.always || use.URL != test.url {
			t.Errorf("%q and %q: %+v (%v)", test.args, test.file, use, err)
		}
	}
	for _, wrong := range []string{"yes", "near.example", "https://me:hunter2@near.example", "http://%zz:hunter2@x"} {
		err := WorkerConfig{ThroughCache: wrong}.check()
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "through-cache: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	own := Config{Listen: ":8080", LogFormat: "auto", Worker: WorkerConfig{Enabled: true, ThroughCache: "true"}}
	if _, err := own.settled(); err == nil || !strings.Contains(err.Error(), "through-cache: this server has no pull-through cache") {
		t.Errorf("%v, want that there is no cache", err)
	}
	own.Worker.Enabled = false
	if _, err := own.settled(); err != nil {
		t.Errorf("without a worker: %v", err)
	}
}

func TestASettingOfManyValuesIsAListInTheFileAndHasCommasInAVariable(t *testing.T) {
	config, err := settle(t, "registry-address: [a.example=127.0.0.1:1, b.example=127.0.0.1:2]\ngrace: 3s\nworker: false\n")
	if err != nil || len(config.Registries.Addresses) != 2 || config.Worker.Grace != 3*time.Second || config.Worker.Enabled {
		t.Errorf("%+v (%v)", config, err)
	}
	t.Setenv("FAIRLEAD_REGISTRY_ADDRESS", "c.example=127.0.0.1:3,d.example=127.0.0.1:4")
	config, err = settle(t, "registry-address: a.example=127.0.0.1:1\n")
	want := []string{"c.example=127.0.0.1:3", "d.example=127.0.0.1:4"}
	if diff := cmp.Diff(want, config.Registries.Addresses); err != nil || diff != "" {
		t.Errorf("addresses (-want +got):\n%s (%v)", diff, err)
	}
}

func TestASettingThatIsNoneOrWrongIsNamed(t *testing.T) {
	for file, words := range map[string]string{
		"lissten: x\n":      "lissten: is no setting",
		"slots: many\n":     "slots in ",
		"listen: {a: b}\n":  "line 1: is no value",
		"listen: [{a: b}]":  "is no value",
		"a: b: c":           "config",
		"- listen":          "config",
		"grace: 5 parsecs":  "grace in ",
		"worker: certainly": "worker in ",
	} {
		if _, err := settle(t, file); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Sentence(), words) {
			t.Errorf("%q: %v, want %q", file, err, words)
		}
	}
	t.Setenv("FAIRLEAD_SLOTS", "many")
	if _, err := settle(t, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "FAIRLEAD_SLOTS") {
		t.Errorf("a variable: %v", err)
	}
}

func TestAFileThatIsNamedMustBeThere(t *testing.T) {
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	err := Settle(set, filepath.Join(t.TempDir(), "none.yaml"), func(string) bool { return false })
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("%v", err)
	}
}

func TestSettingsThatMakeNoSenseAreToldAtOnce(t *testing.T) {
	_, err := Config{Listen: "nowhere", LogFormat: "xml", Worker: WorkerConfig{Slots: -1}}.settled()
	for _, field := range []string{"listen", "slots", "log-format"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("nothing of %s: %v", field, err)
		}
	}
	dir := t.TempDir()
	config, err := Config{Listen: ":8080", LogFormat: "auto", DataDir: dir}.settled()
	if err != nil || config.Database != filepath.Join(dir, "fairlead.db") || config.KeyFile != filepath.Join(dir, "keys.json") || config.Worker.Slots < 1 {
		t.Errorf("%+v (%v)", config, err)
	}
}

func TestWaysToRegistriesAreReadAndEveryMistakeIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, []byte("certificates"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := RegistryConfig{
		Addresses: []string{"a.example=127.0.0.1:1"}, CAs: []string{"a.example=" + file, "b.example=" + file},
		PlainHTTP: []string{"c.example"}, Realms: []string{"a.example=auth.example", "a.example=auth2.example"}, CA: file,
	}.OCI()
	want := oci.Config{
		CA: []byte("certificates"),
		Hosts: []oci.HostRule{
			{Host: "a.example", Address: "127.0.0.1:1", CA: []byte("certificates")},
			{Host: "b.example", CA: []byte("certificates")},
			{Host: "c.example", PlainHTTP: true},
		},
		RealmHosts: map[string][]string{"a.example": {"auth.example", "auth2.example"}},
	}
	if diff := cmp.Diff(want.Hosts, config.Hosts); err != nil || diff != "" {
		t.Errorf("rules (-want +got):\n%s (%v)", diff, err)
	}
	if diff := cmp.Diff(want.RealmHosts, config.RealmHosts); diff != "" || string(config.CA) != "certificates" {
		t.Errorf("token services (-want +got):\n%s", diff)
	}
	_, err = RegistryConfig{
		Addresses: []string{"a.example"}, CAs: []string{"a.example=" + filepath.Join(dir, "none.pem")}, Realms: []string{"=x"},
	}.OCI()
	for _, words := range []string{"registry-address: ", "none.pem", "registry-realm: "} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("nothing of %q: %v", words, err)
		}
	}
}

func TestABandwidthIsReadInBytesOrBits(t *testing.T) {
	for text, want := range map[string]int64{
		"100MB/s": 100e6, "100MB": 100e6, "64MiB/s": 64 << 20, "1.5 GB/s": 1.5e9, "250000": 250_000,
		"500Mbit/s": 62.5e6, "1Gbit/s": 125e6, "1 Gbit": 125e6, "0": 0,
	} {
		config, err := settle(t, "pull-bandwidth: "+text+"\n")
		if err != nil || config.Worker.Pull.Bandwidth != want {
			t.Errorf("%q is %d (%v), want %d", text, config.Worker.Pull.Bandwidth, err, want)
		}
	}
	for _, text := range []string{"fast", "-1MB/s", "100Mb/s", "1Gb", "12 parsecs", "100MB/h", "99999999999TB", "bit"} {
		_, err := settle(t, "pull-bandwidth: "+text+"\n")
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "write it as 100MB/s") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestALimitOfPullsThatMakesNoSenseIsNamedByItsFlag(t *testing.T) {
	config, err := settle(t, "pull-bandwidth: 12\npull-downloads: -1\npull-connections: -2\npull-cpu: 0.001\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.settled()
	for _, flag := range []string{"pull-bandwidth: ", "pull-downloads: ", "pull-connections: ", "pull-cpu: "} {
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not in %v", flag, err)
		}
	}
}

func TestThePublicAddressIsAServersAlone(t *testing.T) {
	for text, want := range map[string]string{"": "", "https://fairlead.example/": "https://fairlead.example", "http://10.0.0.7:8080": "http://10.0.0.7:8080"} {
		if got, err := publicURL(text); got != want || err != nil {
			t.Errorf("publicURL(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"fairlead.example", "ftp://fairlead.example", "https://", "https://ada:secret@fairlead.example", "https://fairlead.example/below", "https://fairlead.example?x=1"} {
		if _, err := publicURL(text); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("publicURL(%q): %v", text, err)
		}
	}
}
