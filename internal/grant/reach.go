package grant

import (
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"sync"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

// Fields that every kind has: how its registry and cloud are reached from here.
const (
	fieldProxy     = "proxy"
	fieldCA        = "ca"
	fieldAddresses = "addresses"
)

var reachFields = []Field{
	{
		Name: fieldProxy, Title: "Proxy", Advanced: true,
		Help:    "A proxy that the registry and its cloud are reached through, instead of the server's own.",
		Example: "http://proxy.acme.example:3128",
	},
	{
		Name: fieldCA, Title: "Company CA", Advanced: true, Lines: true,
		Help:    "PEM certificates that are trusted for this registry besides the system's.",
		Example: "-----BEGIN CERTIFICATE-----…",
	},
	{
		Name: fieldAddresses, Title: "Private endpoints", Advanced: true, Lines: true,
		Help:    "Hosts that are reached at another address than their name resolves to, as HOST=ADDRESS:PORT, one a line or with commas between.",
		Example: "acme.azurecr.io=10.1.2.3:443",
	},
}

// checkReach checks the fields that every kind has.
func checkReach(m Material) error {
	var errs []error
	if text := m.Config[fieldProxy]; text != "" {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			errs = append(errs, fault.InvalidField(fieldProxy, "proxy_address", "is no http:// or https:// address").
				WithHint("Write it as http://proxy.acme.example:3128."))
		case u.User != nil:
			errs = append(errs, fault.InvalidField(fieldProxy, "proxy_userinfo", "holds a user name, and this field is shown to people").
				WithHint("Let the proxy know this server by its address, or set the proxy in the server's environment."))
		}
	}
	if text := m.Config[fieldCA]; text != "" {
		if block, _ := pem.Decode([]byte(text)); block == nil || block.Type != "CERTIFICATE" {
			errs = append(errs, fault.InvalidField(fieldCA, "ca_pem", "holds no PEM certificate").
				WithHint("Paste the certificate with its BEGIN and END lines; --field-file %s=FILE reads it from a file.", fieldCA))
		}
	}
	for _, entry := range addressEntries(m) {
		host, address, found := strings.Cut(entry, "=")
		name, port, err := net.SplitHostPort(address)
		if !found || host == "" || err != nil || name == "" || port == "" {
			errs = append(errs, fault.InvalidField(fieldAddresses, "address_pair", "%q is not HOST=ADDRESS:PORT", entry))
		}
	}
	return fault.Join(errs...)
}

func addressEntries(m Material) []string {
	return strings.FieldsFunc(m.Config[fieldAddresses], func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// reachOf reads the fields that every kind has, which checkReach has checked.
func reachOf(m Material) oci.Reach {
	var reach oci.Reach
	if text := m.Config[fieldProxy]; text != "" {
		reach.Proxy, _ = url.Parse(text) // was checked
	}
	if text := m.Config[fieldCA]; text != "" {
		reach.CA = []byte(text)
	}
	for _, entry := range addressEntries(m) {
		if reach.Addresses == nil {
			reach.Addresses = make(map[string]string)
		}
		host, address, _ := strings.Cut(entry, "=")
		reach.Addresses[host] = address
	}
	return reach
}

// ways are the transports that credentials are traded over: the process's own,
// and one for each way that a credential says, so that connections are used
// again.
type ways struct {
	base *oci.Transport

	mu     sync.Mutex
	others map[wayKey]*oci.Transport
}

type wayKey struct{ proxy, ca, addresses string }

// mostWays bounds the transports that are kept; with more, they are made anew.
const mostWays = 200

// of is the transport for a credential.
func (w *ways) of(m Material) (*oci.Transport, error) {
	key := wayKey{m.Config[fieldProxy], m.Config[fieldCA], m.Config[fieldAddresses]}
	if key == (wayKey{}) {
		return w.base, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, found := w.others[key]; found {
		return known, nil
	}
	transport, err := w.base.With(reachOf(m))
	if err != nil {
		return nil, err
	}
	if w.others == nil || len(w.others) >= mostWays {
		for _, old := range w.others {
			old.CloseIdleConnections()
		}
		w.others = make(map[wayKey]*oci.Transport)
	}
	w.others[key] = transport
	return transport, nil
}
