package granttest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Machine is what an EC2 instance, or a container on one, asks for keys: the
// instance metadata service in its second version, and the container
// credentials of ECS and EKS, on a port of 127.0.0.1.
type Machine struct {
	aws  *AWS
	role string

	server *http.Server
	url    string

	mu     sync.Mutex
	tokens map[string]time.Time
	far    bool
	asked  int
}

// StartMachine runs the metadata services of a machine that has a role; "" is a
// machine without one.
func (a *AWS) StartMachine(role string) (*Machine, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a machine's metadata: %w", err)
	}
	m := &Machine{aws: a, role: role, url: "http://" + listener.Addr().String(), tokens: make(map[string]time.Time)}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", m.serveToken)
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", m.behindToken(m.serveRole))
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{role}", m.behindToken(m.serveKeys))
	mux.HandleFunc("GET /container", m.serveContainer)
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

// URL is for AWS_EC2_METADATA_SERVICE_ENDPOINT.
func (m *Machine) URL() string { return m.url }

// ContainerURL is for AWS_CONTAINER_CREDENTIALS_FULL_URI, with the text for
// AWS_CONTAINER_AUTHORIZATION_TOKEN.
func (m *Machine) ContainerURL() (url, token string) { return m.url + "/container", containerToken }

const containerToken = "container-token"

// SetFar makes whoever asks one hop too far away for the metadata service, as a
// container is: the answer to its token request never arrives.
func (m *Machine) SetFar(far bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.far = far
}

// Asked is how often keys were asked for.
func (m *Machine) Asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// Close ends it.
func (m *Machine) Close() error {
	err := m.server.Shutdown(context.Background())
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// serveToken gives the token of a session with the service.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
func (m *Machine) serveToken(w http.ResponseWriter, request *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seconds, err := strconv.Atoi(request.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
	switch {
	case request.Header.Get("X-Forwarded-For") != "" || m.far:
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	case err != nil || seconds < 1 || seconds > 21600:
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	token := rand.Text()
	m.tokens[token] = time.Now().Add(time.Duration(seconds) * time.Second)
	w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(seconds))
	_, _ = io.WriteString(w, token)
}

func (m *Machine) behindToken(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		m.mu.Lock()
		until, known := m.tokens[request.Header.Get("X-Aws-Ec2-Metadata-Token")]
		m.mu.Unlock()
		if !known || time.Now().After(until) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		do(w, request)
	}
}

func (m *Machine) serveRole(w http.ResponseWriter, request *http.Request) {
	if m.role == "" {
		http.NotFound(w, request)
		return
	}
	_, _ = io.WriteString(w, m.role)
}

func (m *Machine) serveKeys(w http.ResponseWriter, request *http.Request) {
	if request.PathValue("role") != m.role || m.role == "" {
		http.NotFound(w, request)
		return
	}
	m.answerKeys(w)
}

func (m *Machine) serveContainer(w http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Authorization") != containerToken || m.role == "" {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	m.answerKeys(w)
}

func (m *Machine) answerKeys(w http.ResponseWriter) {
	m.mu.Lock()
	m.asked++
	m.mu.Unlock()
	m.aws.mu.Lock()
	defer m.aws.mu.Unlock()
	role := m.aws.roles[m.role]
	if role == nil {
		http.Error(w, "no such role", http.StatusInternalServerError)
		return
	}
	k := m.aws.newSession(m.aws.rolePrincipal(role, "i-0123456789abcdef0"), 6*time.Hour)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": time.Now().UTC().Format(time.RFC3339),
		"AccessKeyId": k.id, "SecretAccessKey": k.secret, "Token": k.token, "Expiration": k.expires.UTC().Format(time.RFC3339),
	})
}
