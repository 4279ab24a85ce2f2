package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/worker"
)

// Config is how a server is run. Each field has a flag of its own; Settle gives
// the flags that were not set a value from the environment or a file.
type Config struct {
	Listen  string
	DataDir string

	// PublicURL is how people and programs reach the server, such as
	// https://fairlead.example, where it is not the address that they ask.
	PublicURL string

	// Database and KeyFile are below DataDir if empty.
	Database string
	KeyFile  string

	// Outputs is where files that executions leave are kept: a URL as
	// depot.Open takes it; a directory below DataDir if empty.
	Outputs string

	// Admin and Organization are made on an empty database.
	Admin        string
	Organization string

	Worker WorkerConfig

	Registries RegistryConfig
	Cache      CacheConfig
	Notices    NoticeConfig
	OIDC       OIDCConfig

	// TrustedProxies are reverse proxies, as addresses or networks, that say in
	// X-Forwarded-For who their client is.
	TrustedProxies []string

	// GitHosts are git hosts on private networks: HOST, or HOST=ADDRESS:PORT.
	GitHosts []string

	// IdentityTokens are files of the server's own identity: FILE for every
	// audience, or AUDIENCE=FILE.
	IdentityTokens []string

	// AuditKeep is how long rows of the audit trail are kept; 0: for ever.
	AuditKeep Days

	// AuditLogs are where the audit trail is sent while it is written, as
	// relay.ParseTarget takes it.
	AuditLogs []string

	MetricsListen string // HOST:PORT; "": metrics are not served

	// TraceEndpoint is where traces go, by OTLP over HTTP; "": what the variables of
	// OpenTelemetry say.
	TraceEndpoint string

	LogLevel  string
	LogFormat string
}

// WorkerConfig is how the worker inside the server runs containers.
type WorkerConfig struct {
	Enabled bool
	Slots   int
	Runtime string
	Devices []string
	Mounts  []string
	Grace   time.Duration
	Drain   time.Duration

	AllowDeviceNodes bool

	ImagesLimit Bytes // 0 is no limit but the disk's
	ImagesFloor Bytes // 0 is pull's default
	Pull        pull.Limits

	// ThroughCache has every image pulled through a pull-through cache: "true" for the
	// server's, or a cache's URL; "" and "false": those alone that can be pulled in no
	// other way.
	ThroughCache string
}

// CacheConfig is the pull-through cache that a server has, or is.
type CacheConfig struct {
	URL       string // where blobs are kept; "": there is none
	Limit     Bytes
	Upstreams []string // HOST
	Networks  []string // CIDR=OWNER/PROJECT
	Fresh     time.Duration
	Stale     time.Duration
}

func (c *CacheConfig) flags(set *pflag.FlagSet) {
	set.StringVar(&c.URL, "cache", "", "serve a pull-through cache at /v2/ and keep it there: file:///DIRECTORY, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER (default none)")
	set.Var(&c.Limit, "cache-limit", "what the cache may keep; the least recently used goes first (default no limit)")
	set.StringSliceVar(&c.Upstreams, "cache-upstream", nil, "registry that everybody may read through the cache without a credential: HOST; others only where a credential covers the image")
	set.StringSliceVar(&c.Networks, "cache-network", nil, "network whose clients read through the cache without a login, as that project: CIDR=OWNER/PROJECT")
	set.DurationVar(&c.Fresh, "cache-fresh", time.Minute, "how long what a registry showed holds: a right that is lost there is lost here after it")
	set.DurationVar(&c.Stale, "cache-stale", time.Hour, "how long after that it is served while the registry is away or throttles; negative: never")
}

// networks are the networks that need no login.
func (c *CacheConfig) networks() ([]adapter.Network, error) {
	var networks []adapter.Network
	var errs []error
	for _, text := range c.Networks {
		network, err := adapter.ParseNetwork("cache-network", text)
		networks, errs = append(networks, network), append(errs, err)
	}
	return networks, fault.Join(errs...)
}

// RegistryConfig is how registries are reached, as curl's --resolve and
// --cacert would say it.
type RegistryConfig struct {
	Addresses []string // HOST=ADDRESS:PORT
	CAs       []string // HOST=FILE
	PlainHTTP []string // HOST
	Realms    []string // HOST=TOKEN-SERVICE
	CA        string   // file, for all hosts
}

// Flags defines the flags of c on set; their defaults are c's present values.
func (c *Config) Flags(set *pflag.FlagSet) {
	set.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address to serve on")
	set.StringVar(&c.PublicURL, "public-url", "", "how people reach the server, such as https://fairlead.example, for links and sign-ins (default the address that they ask)")
	set.StringSliceVar(&c.TrustedProxies, "trusted-proxy", nil, "address or network (CIDR) of a reverse proxy whose X-Forwarded-For tells who asks")
	set.StringVar(&c.DataDir, "data-dir", defaultDataDir(), "directory of everything that is kept")
	set.StringVar(&c.Database, "database", "", "database file (default DATA-DIR/fairlead.db)")
	set.StringVar(&c.KeyFile, "key-file", "", "file of the sealing keys, made on first start (default DATA-DIR/keys.json)")
	set.StringVar(&c.Admin, "admin", "admin", "name of the first user, made on an empty database")
	set.StringVar(&c.Organization, "organization", "main", "name of the first organisation, made on an empty database")
	set.BoolVar(&c.Worker.Enabled, "worker", true, "run executions on this machine too (needs root)")
	c.Worker.flags(set)
	c.Registries.flags(set)
	c.Cache.flags(set)
	c.Notices.flags(set)
	c.OIDC.flags(set)
	set.StringVar(&c.Outputs, "outputs", "", "where outputs are kept: file:///DIRECTORY, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER (default DATA-DIR/outputs)")
	set.StringSliceVar(&c.GitHosts, "git-host", nil, "git host on a private network that projects may be linked to: HOST, or HOST=ADDRESS:PORT to reach it there")
	set.StringArrayVar(&c.IdentityTokens, "identity-token-file", nil, "file with the server's own OIDC token, for keyless credentials: FILE or AUDIENCE=FILE")
	set.Var(&c.AuditKeep, "audit-keep", "how long rows of the audit trail are kept, such as 365d or 8760h (default for ever)")
	set.StringArrayVar(&c.AuditLogs, "audit-log", nil, "where the audit trail is sent while it is written: FILE, - for standard output, syslog:udp://HOST:PORT, or with tcp or tls for udp, or syslog:unix:///SOCKET; may be repeated")
	metricsFlag(set, &c.MetricsListen)
	traceFlag(set, &c.TraceEndpoint)
	set.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	set.StringVar(&c.LogFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
}

func metricsFlag(set *pflag.FlagSet, address *string) {
	set.StringVar(address, "metrics-listen", "", "address to serve Prometheus metrics on, at /metrics, without a login (default none)")
}

func (c *WorkerConfig) flags(set *pflag.FlagSet) {
	set.IntVar(&c.Slots, "slots", 0, "executions that run here at the same time (default the number of processors)")
	set.StringVar(&c.Runtime, "runtime", "", "path of runc or crun (default whichever is installed)")
	set.StringSliceVar(&c.Devices, "device", nil, "CDI device that every container gets, such as nvidia.com/gpu=all")
	set.StringSliceVar(&c.Mounts, "allow-mount", nil, "directory that steps may mount, with what is below it; may be repeated")
	set.DurationVar(&c.Grace, "grace", 10*time.Second, "time that a command has between SIGTERM and SIGKILL")
	set.BoolVar(&c.AllowDeviceNodes, "allow-device-nodes", false, "unpack images that have device nodes, which never open, instead of refusing them")
	set.Var(&c.ImagesLimit, "images-limit", "what images that nothing uses may take of the disk; the least recently used go first (default no limit)")
	set.Var(&c.ImagesFloor, "images-floor", "what a pull leaves free of the disk, removing images that nothing uses first (default 512MiB)")
	set.DurationVar(&c.Drain, "drain", 0, "time that running executions may go on at shutdown before they go back to the queue")
	set.Var((*bandwidth)(&c.Pull.Bandwidth), "pull-bandwidth", "bytes of images that may arrive in a second, such as 100MB/s or 500Mbit/s (default no limit)")
	set.IntVar(&c.Pull.Downloads, "pull-downloads", 0, "layers that may arrive at the same time (default 4 for each image)")
	set.IntVar(&c.Pull.Connections, "pull-connections", 0, "connections that may bring layers at the same time (default one for each layer, and 4 more for large ones)")
	set.StringVar(&c.ThroughCache, "through-cache", "", "pull every image through a pull-through cache: the server's, or the one at --through-cache=URL (default only what can be pulled in no other way)")
	set.Lookup("through-cache").NoOptDefVal = serversCache
	set.Float64Var(&c.Pull.CPU, "pull-cpu", 0, "processors that unpacking images may use: 0.5 is half a core (default all)")
}

func (r *RegistryConfig) flags(set *pflag.FlagSet) {
	set.StringSliceVar(&r.Addresses, "registry-address", nil, "reach a registry at another address: HOST=ADDRESS:PORT")
	set.StringSliceVar(&r.CAs, "registry-ca", nil, "trust only these certificates for a registry: HOST=FILE")
	set.StringSliceVar(&r.PlainHTTP, "registry-plain-http", nil, "speak http without encryption to a registry: HOST")
	set.StringSliceVar(&r.Realms, "registry-realm", nil, "allow a registry's token service on another host: HOST=TOKEN-SERVICE-HOST")
	set.StringVar(&r.CA, "ca", "", "file of certificates to trust besides the system's")
}

// defaultDataDir is where a service keeps its data, and for another user than
// root the place that the XDG specification names.
// https://specifications.freedesktop.org/basedir-spec/latest/
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/fairlead"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fairlead")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "fairlead")
	}
	return "fairlead-data"
}

// DefaultFile is the file that settings are read from, if it is there.
const DefaultFile = "/etc/fairlead/fairlead.yaml"

// envPrefix begins the name of every variable that is read: the flag data-dir is
// FAIRLEAD_DATA_DIR.
const envPrefix = "FAIRLEAD_"

// EnvName is the variable that gives a flag its value.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Settle gives every flag of set that was not set on the command line the value
// of its variable, or else of its key in the YAML file. A file that is named
// must be there; DefaultFile need not be. A key that is no flag is an Invalid
// fault; keys of flags that others define are passed over.
func Settle(set *pflag.FlagSet, file string, known func(key string) bool) error {
	values, err := readFile(file)
	if err != nil {
		return err
	}
	for key := range values {
		if set.Lookup(key) == nil && !known(key) {
			return fault.InvalidField(key, "setting_unknown", "is no setting").
				WithHint("`fairlead serve --help` lists them; in the file they are written without the dashes in front.")
		}
	}
	var errs []error
	set.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || flag.Name == "config" || flag.Name == "help" {
			return
		}
		if text := os.Getenv(EnvName(flag.Name)); text != "" { // an empty one is as good as none
			errs = append(errs, give(set, flag, []string{text}, EnvName(flag.Name)))
		} else if texts, found := values[flag.Name]; found {
			errs = append(errs, give(set, flag, texts, flag.Name+" in "+file))
		}
	})
	return fault.Join(errs...)
}

func give(set *pflag.FlagSet, flag *pflag.Flag, texts []string, where string) error {
	for _, text := range texts {
		if err := set.Set(flag.Name, text); err != nil {
			return fault.InvalidField(where, "setting_invalid", "%v", err)
		}
	}
	return nil
}

// readFile reads a YAML file of settings: a value, or a list of values, for
// each key.
func readFile(file string) (map[string][]string, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) && file == DefaultFile {
		return nil, nil
	}
	if err != nil {
		return nil, fault.InvalidField("config", "config_unreadable", "%v", err).
			WithHint("Name a file that can be read.")
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fault.InvalidField("config", "config_yaml", "%s: %v", file, err).
			WithHint("Write one setting a line, such as `listen: 0.0.0.0:8080`.")
	}
	values := make(map[string][]string, len(raw))
	for key, node := range raw {
		nodes := []*yaml.Node{&node}
		if node.Kind == yaml.SequenceNode {
			nodes = node.Content
		}
		for _, n := range nodes {
			if n.Kind != yaml.ScalarNode {
				return nil, fault.InvalidField(key, "config_value", "%s, line %d: is no value and no list of values", file, n.Line)
			}
			values[key] = append(values[key], n.Value)
		}
	}
	return values, nil
}

// settled checks c and fills in what depends on other settings.
func (c Config) settled() (Config, error) {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fault.InvalidField("listen", "address", "%q is no HOST:PORT", c.Listen))
	}
	public, err := publicURL(c.PublicURL)
	errs = append(errs, err)
	c.PublicURL = public
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		errs = append(errs, fault.InvalidField("data-dir", "directory", "%v", err))
	}
	c.DataDir = dir
	if c.Database == "" {
		c.Database = filepath.Join(dir, "fairlead.db")
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(dir, "keys.json")
	}
	if c.Outputs == "" {
		c.Outputs = "file://" + filepath.ToSlash(filepath.Join(dir, "outputs"))
	}
	if c.Worker.Slots < 0 {
		errs = append(errs, fault.InvalidField("slots", "negative", "%d is negative", c.Worker.Slots))
	}
	if c.Worker.Slots == 0 {
		c.Worker.Slots = runtime.NumCPU()
	}
	_, networksErr := c.Cache.networks()
	_, targetsErr := auditTargets(c.AuditLogs)
	_, proxiesErr := trustedProxies(c.TrustedProxies)
	errs = append(errs, c.Worker.check(), networksErr, targetsErr, proxiesErr)
	if c.Worker.Enabled && c.Worker.ThroughCache == serversCache && c.Cache.URL == "" {
		errs = append(errs, fault.InvalidField("through-cache", "cache_missing", "this server has no pull-through cache").
			WithHint("Start it with --cache too, or name another cache: --through-cache=URL."))
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.LogFormat) {
		errs = append(errs, fault.InvalidField("log-format", "choice", "%q is none of text, json and auto", c.LogFormat))
	}
	return c, fault.Join(errs...)
}

// publicURL is the server's own address, as an origin: no path and no login.
func publicURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	address, err := url.Parse(text)
	if err != nil || (address.Scheme != "https" && address.Scheme != "http") || address.Host == "" || address.User != nil ||
		strings.Trim(address.Path, "/") != "" || address.RawQuery != "" || address.Fragment != "" {
		return "", fault.InvalidField("public-url", "address", "is not an address of a server alone").
			WithHint("Write it as https://HOST, without a path or a login.")
	}
	return address.Scheme + "://" + address.Host, nil
}

// check reports every setting of pulls that makes no sense.
func (c WorkerConfig) check() error { return fault.Join(c.Pull.Check("pull-"), c.checkCache()) }

// What --through-cache may be besides an address.
const (
	serversCache = "true"
	noCache      = "false"
)

func (c WorkerConfig) checkCache() error {
	switch c.ThroughCache {
	case "", serversCache, noCache:
		return nil
	}
	address, err := url.Parse(c.ThroughCache)
	if err != nil { // whose text would show a password in it
		return fault.InvalidField("through-cache", "cache_address", "cannot be read as an address").
			WithHint("Write it as http://HOST:PORT or https://HOST.")
	}
	if err := oci.CheckCache(address); err != nil {
		f := fault.From(err)
		return fault.InvalidField("through-cache", f.Code, "%s", f.Message).WithHint("%s", f.Hint)
	}
	return nil
}

// cache is how a worker with that token uses caches.
func (c WorkerConfig) cache(token secret.Text) worker.Cache {
	use := worker.Cache{Token: token}
	switch c.ThroughCache {
	case "", noCache:
	case serversCache:
		use.Always = true
	default:
		use.Always, use.URL = true, c.ThroughCache
	}
	return use
}

// OCI is how registries are reached, with the files read.
func (r RegistryConfig) OCI() (oci.Config, error) {
	config := oci.Config{RealmHosts: make(map[string][]string)}
	rules := make(map[string]*oci.HostRule)
	var order []string
	rule := func(host string) *oci.HostRule {
		if rules[host] == nil {
			rules[host] = &oci.HostRule{Host: host}
			order = append(order, host)
		}
		return rules[host]
	}
	var errs []error
	for _, setting := range r.Addresses {
		host, address, err := pair("registry-address", setting, "ADDRESS:PORT")
		errs = append(errs, err)
		rule(host).Address = address
	}
	for _, setting := range r.CAs {
		host, file, err := pair("registry-ca", setting, "FILE")
		errs = append(errs, err)
		if err == nil {
			rule(host).CA, err = readPEM("registry-ca", file)
			errs = append(errs, err)
		}
	}
	for _, host := range r.PlainHTTP {
		rule(host).PlainHTTP = true
	}
	for _, setting := range r.Realms {
		host, realm, err := pair("registry-realm", setting, "TOKEN-SERVICE-HOST")
		errs = append(errs, err)
		config.RealmHosts[host] = append(config.RealmHosts[host], realm)
	}
	if r.CA != "" {
		var err error
		config.CA, err = readPEM("ca", r.CA)
		errs = append(errs, err)
	}
	for _, host := range order {
		config.Hosts = append(config.Hosts, *rules[host])
	}
	return config, fault.Join(errs...)
}

func pair(name, setting, what string) (host, value string, err error) {
	host, value, found := strings.Cut(setting, "=")
	if !found || host == "" || value == "" {
		return host, value, fault.InvalidField(name, "pair", "%q is not HOST=%s", setting, what)
	}
	return host, value, nil
}

func readPEM(name, file string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fault.InvalidField(name, "file", "%v", fmt.Errorf("reading certificates: %w", err))
	}
	return text, nil
}
