// Package depottest stands for the clouds' object stores in tests: S3, Google
// Cloud Storage and Azure Blob Storage under their own names, over TLS, with the
// checks that they make. What they do not know, they refuse.
//
// A package's TestMain calls Main, which puts this internet between the test and
// the real one.
package depottest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// internet is the hosts that tests reach by name.
type internet struct {
	mu    sync.Mutex
	hosts map[string]http.Handler // by name, or by what follows the first label's dot, with the dot

	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	inside    net.Listener // TLS, of every host
}

// world is this process's, since the proxy and the trusted certificates are.
var world *internet

// Main runs a package's tests with the clouds' names leading to this package. It
// is for TestMain: the environment's proxy and certificates are read once in a
// process.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "depottest")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	world = newInternet()
	file := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: world.authority.Raw}), 0o600); err != nil {
		panic(err)
	}
	for _, setting := range os.Environ() { // a machine's own logins stay out
		name, _, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "GOOGLE_") ||
			strings.HasPrefix(name, "STORAGE_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"SSL_CERT_FILE": file, "SSL_CERT_DIR": dir, "HTTPS_PROXY": "http://" + world.proxy(),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", "CLOUDSDK_CONFIG": dir,
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

func newInternet() *internet {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "depottest"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	authority, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(err)
	}
	i := &internet{hosts: make(map[string]http.Handler), authority: authority, key: key, inside: listen()}
	server := &http.Server{
		Handler: i, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: i.certificate},
	}
	go func() { _ = server.ServeTLS(i.inside, "", "") }() // until the process ends
	return i
}

func listen() net.Listener {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

func (i *internet) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{hello.ServerName},
		NotBefore: i.authority.NotBefore, NotAfter: i.authority.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, i.authority, &i.key.PublicKey, i.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: i.key}, nil
}

// at is what answers for a host; nil if there is none.
func (i *internet) at(host string) http.Handler {
	i.mu.Lock()
	defer i.mu.Unlock()
	if handler := i.hosts[host]; handler != nil {
		return handler
	}
	_, domain, _ := strings.Cut(host, ".")
	return i.hosts["."+domain]
}

func (i *internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	handler := i.at(host)
	if handler == nil {
		http.Error(w, "nobody is here any more", http.StatusBadGateway)
		return
	}
	handler.ServeHTTP(w, r)
}

// serve answers for a host until the test ends.
func (i *internet) serve(t *testing.T, host string, handler http.Handler) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.hosts[host] != nil {
		t.Fatalf("%s is here already", host)
	}
	i.hosts[host] = handler
	t.Cleanup(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.hosts, host)
	})
}

// proxy starts what HTTPS_PROXY leads to, and tells its address. It connects to
// the hosts of this internet and to no other.
func (i *internet) proxy() string {
	listener := listen()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, port, err := net.SplitHostPort(r.Host)
		if r.Method != http.MethodConnect || err != nil || port != "443" || i.at(host) == nil {
			http.Error(w, "no such host", http.StatusBadGateway)
			return
		}
		far, err := new(net.Dialer).DialContext(r.Context(), "tcp", i.inside.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		join(near, buffered, far)
	})}
	go func() { _ = server.Serve(listener) }() // until the process ends
	return listener.Addr().String()
}

// join passes on between two connections until both sides have ended.
func join(near net.Conn, buffered *bufio.ReadWriter, far net.Conn) {
	_, err := near.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
	if err != nil {
		_ = errors.Join(near.Close(), far.Close())
		return
	}
	pass := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		_ = to.Close() // and so the other way ends as well
	}
	go pass(far, buffered)
	go pass(near, far)
}
