package mirror

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// Setup is what a client has to be told, so that it pulls through the cache.
// It is made by NewSetup alone.
type Setup struct {
	cache     *url.URL
	upstreams []string
	ca        string
	byPath    bool
}

// File is a part of a client's configuration, and where it belongs on the
// client's machine.
type File struct {
	Path string
	Text string
}

// Configuration is what one sort of client is configured with.
type Configuration struct {
	Files []File

	// Notes are what no file can say, a sentence or two each.
	Notes []string
}

// NewSetup checks what clients are to be told. Cache is the cache's address,
// https://HOST or https://HOST:PORT (or http, where nothing is private). Upstreams
// are the registries to pull through it, as images' names have them. CA is the
// file, on the client's machine, of the authority that the cache's certificate is
// from; "" for one that the machine trusts already. ByPath has containerd put the
// registry into the path instead of the query. The error is an Invalid fault.
func NewSetup(cache string, upstreams []string, ca string, byPath bool) (Setup, error) {
	s := Setup{ca: ca, byPath: byPath}
	var errs []error
	u, err := url.Parse(cache)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		errs = append(errs, fault.InvalidField("url", "cache_address", "this is no address of a cache").
			WithHint("Write https://HOST or https://HOST:PORT, with nothing behind it."))
	} else {
		s.cache = &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
	}
	if len(upstreams) == 0 {
		errs = append(errs, fault.InvalidField("upstream", "required", "name at least one registry").WithHint("For Docker Hub, write docker.io."))
	}
	for _, upstream := range upstreams {
		ref, err := image.ParseReference(upstream + "/probe/probe")
		if err != nil || !isHost(upstream) || ref.Repository() != "probe/probe" {
			errs = append(errs, fault.InvalidField("upstream", "host", "%.300q is no registry host", upstream).
				WithHint("Write HOST or HOST:PORT, such as ghcr.io."))
			continue
		}
		s.upstreams = append(s.upstreams, ref.Host())
	}
	if ca != "" && (!path.IsAbs(ca) || strings.ContainsFunc(ca, func(r rune) bool { return !unicode.IsPrint(r) })) {
		errs = append(errs, fault.InvalidField("ca", "path", "%.300q is no absolute path", ca).
			WithHint("Name the file as the client's machine has it, such as /etc/ssl/cache.crt."))
	}
	return s, fault.Join(errs...)
}

// example is an image of a registry by its name through the cache.
func (s Setup) example(upstream string) string {
	repository := "acme/train:v1"
	if upstream == image.Hub {
		repository = "library/ubuntu:24.04"
	}
	return s.cache.Host + "/" + upstream + "/" + repository
}

// Docker is the configuration of Docker's daemon. It is an Invalid fault unless
// Docker Hub is among the registries, which is the only one that Docker mirrors.
func (s Setup) Docker() (Configuration, error) {
	isHub := false
	for _, upstream := range s.upstreams {
		isHub = isHub || upstream == image.Hub
	}
	if !isHub {
		return Configuration{}, fault.InvalidField("upstream", "docker_hub_only", "Docker mirrors Docker Hub alone, and docker.io is not among the registries").
			WithHint("Add docker.io, or configure nothing and pull by the name %s.", s.example(s.upstreams[0]))
	}
	daemon := struct {
		Mirrors  []string `json:"registry-mirrors"`
		Insecure []string `json:"insecure-registries,omitempty"`
	}{Mirrors: []string{s.cache.String()}}
	if s.cache.Scheme == "http" {
		daemon.Insecure = []string{s.cache.Host}
	}
	text, err := json.MarshalIndent(daemon, "", "  ")
	if err != nil {
		return Configuration{}, fmt.Errorf("writing Docker's configuration: %w", err)
	}
	c := Configuration{Files: []File{{Path: "/etc/docker/daemon.json", Text: string(text) + "\n"}}}
	c.note("Docker mirrors Docker Hub only. Images of every registry can be pulled by a name that begins with the cache, such as %s, after docker login %s.",
		s.example(s.upstreams[len(s.upstreams)-1]), s.cache.Host)
	c.note("Docker has no login for a mirror: let the cache take this machine's network for a client, and requests without a registry for docker.io.")
	c.note("Add the lines to a daemon.json that is there already, and then: systemctl reload docker.")
	if s.ca != "" {
		c.note("Docker reads the authority of a registry's certificate from a place of its own: install -D %s /etc/docker/certs.d/%s/ca.crt.", s.ca, s.cache.Host)
	}
	return c, nil
}

// certsDir is where containerd looks for hosts.toml, a directory a registry.
// https://github.com/containerd/containerd/blob/v2.4.2/docs/hosts.md
const certsDir = "/etc/containerd/certs.d"

// Containerd is the configuration of containerd, for ctr, nerdctl and Kubernetes:
// a hosts.toml for each registry.
func (s Setup) Containerd() Configuration {
	var c Configuration
	for _, upstream := range s.upstreams {
		c.Files = append(c.Files, File{Path: certsDir + "/" + upstream + "/hosts.toml", Text: s.hosts(upstream)})
	}
	c.note("containerd reads these files at each pull: ctr images pull --hosts-dir %s, nerdctl by itself.", certsDir)
	c.note("What the cache does not give is asked for at the server of the file. To have nothing go around the cache, write %s there.", s.cache)
	c.note("Unless the cache takes this machine's network for a client, add its login to each file, and let root alone read it: "+
		`[host.%s.header] with Authorization = "Basic …", the base64 of USER:TOKEN.`, strconv.Quote(s.address(s.upstreams[0])))
	return c
}

// hosts is the hosts.toml of one registry.
func (s Setup) hosts(upstream string) string {
	server := upstream
	if upstream == image.Hub {
		server = "registry-1.docker.io" // as containerd's own default is
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "https://"+server, s.address(upstream))
	if s.byPath {
		b.WriteString("  override_path = true\n")
	}
	if s.ca != "" {
		// A path of printable characters, which Go and TOML quote alike.
		fmt.Fprintf(&b, "  ca = %q\n", s.ca)
	}
	return b.String()
}

// address is where containerd asks for what is in a registry.
func (s Setup) address(upstream string) string {
	if s.byPath {
		return s.cache.String() + base + upstream
	}
	return s.cache.String()
}

// secretName is what the pull secret is called.
const secretName = "fairlead-cache"

// Kubernetes is the configuration of a cluster whose nodes run containerd 2: the
// nodes' containerd, and a pull secret for images that are named by the cache.
func (s Setup) Kubernetes() (Configuration, error) {
	login := map[string]any{"auths": map[string]any{s.cache.Host: map[string]string{"username": "USER", "password": "TOKEN"}}}
	text, err := json.Marshal(login)
	if err != nil {
		return Configuration{}, fmt.Errorf("writing a pull secret: %w", err)
	}
	c := Configuration{Files: []File{{
		Path: "/etc/containerd/config.toml",
		Text: fmt.Sprintf("version = 3\n\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = %q\n", certsDir),
	}}}
	c.Files = append(c.Files, s.Containerd().Files...)
	c.Files = append(c.Files, File{Path: secretName + ".yaml", Text: fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata:
  name: %s
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '%s'
`, secretName, text)})
	c.note("The files below /etc are for every node: put the lines into the config.toml that is there (of containerd 1, the table is " +
		`plugins."io.containerd.grpc.v1.cri".registry), and then: systemctl restart containerd.`)
	c.note("Mirrored names, such as those of pods that are there already, need the nodes' network to be a client of the cache: " +
		"the kubelet picks pull secrets by the image's own registry, and containerd would show those to the cache.")
	c.note("Otherwise name images by the cache, such as %s, write a login of this Fairlead into %s.yaml, kubectl apply it, and list %s among imagePullSecrets.",
		s.example(s.upstreams[0]), secretName, secretName)
	if s.ca != "" {
		c.note("For such names each node wants the cache's authority too: %s/%s/hosts.toml with server = %q and ca = %q.", certsDir, s.cache.Host, s.cache, s.ca)
	}
	return c, nil
}

func (c *Configuration) note(text string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(text, args...))
}
