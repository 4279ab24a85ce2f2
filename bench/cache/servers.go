package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
	"fairlead.dev/fairlead/internal/oci"
)

const (
	plain  = "limit: net/http" // serves the image's files; has no cold start
	direct = "limit: direct"   // the registry itself; has nothing else
)

// server is a cache, or what stands for the limit of one.
type server struct {
	name    string
	needs   string // a program
	from    string // how to get it
	isCache bool

	// start starts it with everything that it keeps in the job's directory.
	start func(ctx context.Context, m *trial.Meter, j job) (endpoint, error)
}

var servers = []server{
	{fairlead, binary, "make build", true, startFairlead},
	{"distribution", "registry", "make bench-cache-peers builds it", true, startDistribution},
	{"nginx", "nginx", "make bench-cache-peers installs it on Debian", true, startNginx},
	{plain, "", "", false, startPlain},
}

// lacks is what of it is not on this machine.
func (s server) lacks() string {
	if s.needs == "" {
		return ""
	}
	if _, err := exec.LookPath(s.needs); err != nil {
		return s.needs
	}
	return ""
}

// freeAddress is one that nobody listens on now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// place is a file in a job's directory, with a text.
func place(j job, name, text string) (string, error) {
	path := filepath.Join(j.Dir, name)
	return path, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600))
}

// startDistribution starts the registry of the same name as a proxy, as its
// documentation has it (https://distribution.github.io/distribution/recipes/mirror/):
// it logs in upstream, and asks its own clients for nothing.
func startDistribution(ctx context.Context, m *trial.Meter, j job) (endpoint, error) {
	address, err := freeAddress()
	if err != nil {
		return endpoint{}, err
	}
	config, err := place(j, "config.yml", fmt.Sprintf(`
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  cache: {blobdescriptor: inmemory}
http: {addr: %q}
proxy: {remoteurl: %q, username: %q, password: %q}
`, filepath.Join(j.Dir, "storage"), address, "https://"+j.Host, far.User, far.Password))
	if err != nil {
		return endpoint{}, err
	}
	c := exec.CommandContext(ctx, "registry", "serve", config)
	c.Env = append(os.Environ(), "SSL_CERT_FILE="+j.CA, "OTEL_TRACES_EXPORTER=none")
	return endpoint{Address: address, Path: "/v2/" + far.Repository}, m.StartServer(ctx, j.Dir, address, c)
}

// startNginx starts a caching proxy that knows nothing of registries: it shows the
// registry a token that the bench has got for it, and asks its own clients for
// nothing.
func startNginx(ctx context.Context, m *trial.Meter, j job) (endpoint, error) {
	address, err := freeAddress()
	if err != nil {
		return endpoint{}, err
	}
	to, err := far.Reach(j.Host, j.CA, far.User, far.Password)
	if err != nil {
		return endpoint{}, err
	}
	authorization, err := to.Authorize(ctx)
	if err != nil {
		return endpoint{}, err
	}
	config, err := place(j, "nginx.conf", fmt.Sprintf(`
user root;
daemon off;
pid %[1]s/nginx.pid;
error_log stderr error;
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 100000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache levels=1:2 keys_zone=images:16m max_size=100g inactive=1d use_temp_path=off;
	server {
		listen %[2]s backlog=4096;
		location /v2/ {
			proxy_pass https://%[3]s;
			proxy_ssl_trusted_certificate %[4]s;
			proxy_ssl_verify on;
			proxy_ssl_name 127.0.0.1;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Authorization "%[5]s";
			proxy_cache images;
			proxy_cache_valid 200 1h;
			proxy_cache_lock on;
			proxy_cache_lock_age 1h;
			proxy_cache_lock_timeout 1h;
		}
	}
}
`, j.Dir, address, j.Host, j.CA, headerOf(authorization)))
	if err != nil {
		return endpoint{}, err
	}
	c := exec.CommandContext(ctx, "nginx", "-c", config, "-e", "stderr")
	return endpoint{Address: address, Path: "/v2/" + far.Repository}, m.StartServer(ctx, j.Dir, address, c)
}

// headerOf is what an authorization writes into the header of its name.
func headerOf(a oci.Authorization) string {
	r := &http.Request{Header: make(http.Header)}
	a.Apply(r)
	return r.Header.Get("Authorization")
}

// plainArgument makes this program the limit: files by net/http.
const plainArgument = "serve-files"

// startPlain copies the image into the job's directory, as a cache has it there, and
// starts this program to serve it.
func startPlain(ctx context.Context, m *trial.Meter, j job) (endpoint, error) {
	address, err := freeAddress()
	if err != nil {
		return endpoint{}, err
	}
	for _, l := range j.Layers {
		if err := copyFile(filepath.Join(j.Dir, l.Digest), filepath.Join(j.ImageDir, l.File)); err != nil {
			return endpoint{}, err
		}
	}
	to, err := far.Reach(j.Host, j.CA, far.User, far.Password)
	if err != nil {
		return endpoint{}, err
	}
	authorization, err := to.Authorize(ctx)
	if err != nil {
		return endpoint{}, err
	}
	if err := saveManifest(ctx, to, authorization, filepath.Join(j.Dir, tag)); err != nil {
		return endpoint{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return endpoint{}, err
	}
	c := exec.CommandContext(ctx, self, plainArgument, address, j.Dir)
	return endpoint{Address: address, Path: "/v2/" + far.Repository}, m.StartServer(ctx, j.Dir, address, c)
}

// servePlain serves the files of a directory under the paths of a registry: layers
// as http.ServeContent sends a file, and manifests out of memory with the header
// that a registry gives them.
func servePlain(ctx context.Context, address, dir string) error {
	manifest, err := os.ReadFile(filepath.Join(dir, tag))
	if err != nil {
		return err
	}
	digest := digestOf(manifest)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/"+far.Repository+"/blobs/{digest}", func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(filepath.Join(dir, filepath.Base(r.PathValue("digest"))))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, file)
	})
	mux.HandleFunc("GET /v2/"+far.Repository+"/manifests/"+tag, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", far.ManifestType)
		w.Header().Set("Docker-Content-Digest", digest)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(manifest)))
	})
	s := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
