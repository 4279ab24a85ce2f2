package oci_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// The hosts of the tests, for which httptest's certificate is good.
const (
	registryHost = "registry.example.com"
	authHost     = "auth.example.com"
	blobHost     = "blobs.example.com"
)

var train = image.MustParseReference("registry.example.com/acme/train:v1")

// farSide is a server that all the hosts of the tests lead to.
type farSide struct {
	*httptest.Server
	transport *oci.Transport
}

func newFarSide(t *testing.T, handler http.HandlerFunc) farSide {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = silent
	server.StartTLS()
	t.Cleanup(server.Close)
	var rules []oci.HostRule
	for _, host := range []string{registryHost, authHost, blobHost} {
		rules = append(rules, oci.HostRule{Host: host, Address: addressOf(server), CA: caOf(server)})
	}
	return farSide{server, newTransport(t, oci.Config{Hosts: rules, UserAgent: "fairlead-test"})}
}

func newTransport(t *testing.T, config oci.Config) *oci.Transport {
	t.Helper()
	transport, err := oci.NewTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (f farSide) route() *oci.Route { return f.transport.For(registryHost) }

func (f farSide) client() *oci.Client { return oci.NewClient(f.route()) }

func addressOf(server *httptest.Server) string { return server.Listener.Addr().String() }

func caOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// answer is a handler that always says the same; header are pairs.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// wantFault checks the code of an error, and that its texts hold no secret.
func wantFault(t *testing.T, err error, kind fault.Kind, code string, secrets ...string) *fault.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	f := fault.From(err)
	if f.Kind != kind || f.Code != code {
		t.Errorf("got %s %s (%v), want %s %s", f.Kind, f.Code, err, kind, code)
	}
	for _, s := range secrets {
		if strings.Contains(f.Error()+f.Sentence(), s) {
			t.Errorf("the error repeats %q: %v", s, f)
		}
	}
	return f
}

// silent is the log of servers whose clients are meant to hang up.
var silent = log.New(io.Discard, "", 0)

// resolver answers every question for an address with ip, or that there is no
// such name.
func resolver(t *testing.T, ip net.IP) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if err := message.Unpack(buffer[:n]); err != nil {
				continue
			}
			message.Response, message.Additionals = true, nil
			question := message.Questions[0]
			if ip == nil {
				message.RCode = dnsmessage.RCodeNameError
			} else if question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
					Body:   &dnsmessage.AResource{A: [4]byte(ip.To4())},
				}}
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}
