package app

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/engine/runc"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/wire"
)

// Times of the looks over the network, and how far clocks may be apart: a token that
// is made in the future is refused by many, and AWS takes five minutes.
const (
	reachMost = 10 * time.Second
	skewWarn  = 10 * time.Second
	skewFail  = 5 * time.Minute
)

// machine looks at the machine and its ways to others.
func (e *examination) machine(ctx context.Context) {
	places := e.storePlaces()
	for _, part := range slices.Sorted(maps.Keys(places)) {
		e.free(part, places[part])
	}
	if e.server.config.Worker.Enabled {
		e.engine(ctx)
	}
	e.proxies()
	e.publicURL(ctx)
}

// engine looks for what runs containers.
func (e *examination) engine(ctx context.Context) {
	config := e.server.config
	dir, err := os.MkdirTemp(config.DataDir, ".doctor-*")
	if err != nil {
		return // told of already
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is empty but for what was tried in it
	found, err := runc.New(runc.Config{Command: config.Worker.Runtime, Root: dir})
	if err != nil {
		e.fail("engine", err)
	} else {
		e.ok("engine", fmt.Sprintf("%s (%s), with cgroups of version %d", found.Command(), versionOf(ctx, found.Command()), cgroupVersion()))
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := pull.CheckOverlay(dir); err != nil {
		e.fail("overlay", err)
	} else {
		e.ok("overlay", "an overlay filesystem can be mounted in "+config.DataDir)
	}
}

// versionOf is the first line of what a runtime says of itself.
func versionOf(ctx context.Context, command string) string {
	ctx, cancel := context.WithTimeout(ctx, reachMost)
	defer cancel()
	text, err := exec.CommandContext(ctx, command, "--version").Output()
	if err != nil {
		return "of unknown version"
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

func cgroupVersion() int {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return 2
	}
	return 1
}

// proxies tells which proxies the environment names, without their passwords.
func (e *examination) proxies() {
	var told []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		value, shown := os.Getenv(name), name
		if value == "" {
			value, shown = os.Getenv(strings.ToLower(name)), strings.ToLower(name)
		}
		if value == "" {
			continue
		}
		if name != "NO_PROXY" {
			address, err := url.Parse(value)
			if err != nil || address.Host == "" && !strings.Contains(value, ":") {
				e.warn("proxy", "proxy_address", shown+" cannot be read as an address", "Write it as http://HOST:PORT.")
				continue
			}
			if value = address.Host; address.User != nil {
				value = "***@" + value
			}
		}
		told = append(told, shown+"="+value)
	}
	if len(told) == 0 {
		told = []string{"none is named in the environment"}
	}
	e.ok("proxy", strings.Join(told, ", "))
}

// publicURL asks the server at the address that people have.
func (e *examination) publicURL(ctx context.Context) {
	public := e.server.config.PublicURL
	if public == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachMost)
	defer cancel()
	clock := &clockReader{next: http.DefaultTransport}
	own, err := client.New(client.Config{Server: public, Transport: clock})
	if err == nil {
		_, err = own.About(ctx)
	}
	if err != nil {
		e.fail("public-url", fault.New(fault.Unavailable, "public_url_unreachable", "no Fairlead answers at %s", public).
			WithHint("Look whether the proxy in front of the server runs and passes on /api/, and whether this machine resolves its name (%s).", fault.From(err).Hint))
		return
	}
	e.ok("public-url", "a Fairlead answers at "+public)
	e.clock(public, clock.ahead)
}

// clockReader reads the clocks of those who answer.
type clockReader struct {
	next  http.RoundTripper
	ahead time.Duration // how far this machine's is before theirs
}

// RoundTrip sends one request.
func (c *clockReader) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := c.next.RoundTrip(r)
	if err == nil {
		c.ahead = aheadOf(response, began, time.Now())
	}
	return response, err
}

// aheadOf is how far a clock that read began and ended is before the one of who
// answered, whose Date is in whole seconds; 0 where the two agree or nothing is said.
func aheadOf(response *http.Response, began, ended time.Time) time.Duration {
	date, err := http.ParseTime(response.Header.Get("Date"))
	switch {
	case err != nil:
		return 0
	case began.After(date.Add(time.Second)):
		return began.Sub(date.Add(time.Second))
	case ended.Before(date):
		return ended.Sub(date)
	default:
		return 0
	}
}

// clock tells of a clock that differs from somebody's.
func (e *examination) clock(of string, ahead time.Duration) {
	if finding, wrong := clockFinding("this machine", of, ahead); wrong {
		e.findings = append(e.findings, finding)
	}
}

func clockFinding(mine, of string, ahead time.Duration) (wire.Finding, bool) {
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	f := wire.Finding{
		Part: "clock", Result: wire.FindingWarn, Code: "clock_skew",
		Sentence: fmt.Sprintf("the clock of %s is %s %s the one of %s", mine, ahead.Abs().Round(time.Second), word, of),
		Next:     "Have a time service set it, such as chrony or systemd-timesyncd: registries refuse what is signed at another time.",
	}
	if ahead.Abs() >= skewFail {
		f.Result = wire.FindingFail
	}
	return f, ahead.Abs() >= skewWarn
}

// hosts looks whether the registries of the credentials have addresses, answer, and
// agree about the time.
func (e *examination) hosts(ctx context.Context, credentials []registry.Credential) {
	found := make(map[string]bool)
	for _, credential := range credentials {
		if credential.Config["proxy"] != "" || credential.Config["addresses"] != "" || credential.Config["ca"] != "" {
			continue // it is reached in a way of its own, which its check goes
		}
		for _, pattern := range credential.Patterns {
			if !pattern.HasWildcardHost() {
				found[pattern.Host()] = true
			}
		}
	}
	hosts := slices.Sorted(maps.Keys(found))
	looked := make([]func(), len(hosts))
	var asked sync.WaitGroup
	for i, host := range hosts {
		asked.Go(func() { looked[i] = e.host(ctx, host) })
	}
	asked.Wait()
	for _, tell := range looked {
		tell()
	}
	if len(hosts) > 0 && !slices.ContainsFunc(e.findings, func(f wire.Finding) bool { return f.Part == "clock" }) {
		e.ok("clock", "it differs from no registry's by more than "+skewWarn.String())
	}
}

// host asks a registry without a login, and returns what is to be told of it.
func (e *examination) host(ctx context.Context, host string) (tell func()) {
	ctx, cancel := context.WithTimeout(ctx, reachMost)
	defer cancel()
	way := e.server.reach.For(host)
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, way.URL("/v2/").String(), http.NoBody)
	if err != nil {
		return func() { e.fail("registry", err) }
	}
	response, err := way.RoundTrip(request) //nolint:bodyclose // it is closed where there is one
	ended := time.Now()
	if err == nil {
		_ = response.Body.Close() // only its head matters
		return func() {
			e.ok("registry", fmt.Sprintf("%s answers, with status %d", host, response.StatusCode))
			e.clock(host, aheadOf(response, began, ended))
		}
	}
	next := "Look whether a firewall, a proxy or NO_PROXY is in the way: curl -v https://" + host + "/v2/"
	name, _, splitErr := net.SplitHostPort(way.Host())
	if splitErr != nil {
		name = way.Host()
	}
	if _, lookErr := net.DefaultResolver.LookupHost(ctx, name); lookErr != nil {
		next = "Its name has no address here: look at /etc/resolv.conf, or reach it with --registry-address " + host + "=ADDRESS:PORT."
	}
	text := "it does not answer"
	if f := fault.From(err); f.Kind != fault.Internal {
		text, next = f.Message, f.Hint
	} else if e.owner {
		text = err.Error()
	}
	return func() {
		e.fail("registry", fault.New(fault.Unavailable, "registry_unreachable", "%s cannot be reached: %s", host, text).WithHint("%s", next))
	}
}
