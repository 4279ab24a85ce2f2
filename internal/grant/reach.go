package grant

import (
	"crypto/x509"
	"encoding/pem"
	"math"
	"net"
	"net/url"
	"strconv"
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
	errs := []error{checkProxy(m.Config[fieldProxy]), checkCA(m.Config[fieldCA])}
	seen := make(map[string]bool)
	for _, entry := range addressEntries(m) {
		host, _, _ := strings.Cut(strings.ToLower(entry), "=")
		switch {
		case !isAddressPair(entry):
			errs = append(errs, fault.InvalidField(fieldAddresses, "address_pair", "%q is not HOST=ADDRESS:PORT", entry).
				WithHint("Write the registry's host alone, and the address with its port: acme.azurecr.io=10.1.2.3:443."))
		case seen[host]:
			errs = append(errs, fault.InvalidField(fieldAddresses, "address_twice", "names %s twice", host))
		}
		seen[host] = true
	}
	return fault.Join(errs...)
}

func checkProxy(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || !isPortOrNone(u.Port()):
		return fault.InvalidField(fieldProxy, "proxy_address", "is no http:// or https:// address").
			WithHint("Write it as http://proxy.acme.example:3128.")
	case u.User != nil:
		return fault.InvalidField(fieldProxy, "proxy_userinfo", "holds a user name, and this field is shown to people").
			WithHint("Let the proxy know this server by its address, or set the proxy in the server's environment.")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fault.InvalidField(fieldProxy, "proxy_address", "has more than a host and a port").
			WithHint("Write it as http://proxy.acme.example:3128.")
	default:
		return nil
	}
}

// checkCA wants certificates and nothing else: the field is shown to people, and
// a private key beside them would be too.
func checkCA(text string) error {
	rest := []byte(text)
	for n := 0; ; n++ {
		block, after := pem.Decode(rest)
		if block == nil {
			if n == 0 && text != "" {
				return fault.InvalidField(fieldCA, "ca_pem", "holds no PEM certificate").
					WithHint("Paste the certificate with its BEGIN and END lines; --field-file %s=FILE reads it from a file.", fieldCA)
			}
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return fault.InvalidField(fieldCA, "ca_other", "holds something other than certificates, and this field is shown to people").
				WithHint("Give the certificates alone. If a private key was pasted, nothing of it was kept.")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fault.InvalidField(fieldCA, "ca_pem", "holds a certificate that cannot be read").
				WithHint("Copy it again, whole.")
		}
		rest = after
	}
}

// isAddressPair reports whether a text is HOST=ADDRESS:PORT.
func isAddressPair(entry string) bool {
	host, address, found := strings.Cut(entry, "=")
	u, err := url.Parse("//" + host)
	if !found || err != nil || u.Host != host || u.Hostname() == "" || !isPortOrNone(u.Port()) {
		return false
	}
	name, port, err := net.SplitHostPort(address)
	return err == nil && name != "" && port != "" && isPortOrNone(port)
}

func isPortOrNone(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && n > 0 && n <= math.MaxUint16
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
