package gitfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"fairlead.dev/fairlead/internal/fault"
)

// shell is a visit over ssh. It reads no configuration of this machine's user
// and asks no agent.
type shell struct {
	remote  Remote
	address address
	client  *ssh.Client
	in      io.WriteCloser
	out     io.Reader
	said    *said
	ended   func() error // of the far program, after its output
	stop    func() bool  // stops the watch of the context
}

// said keeps the beginning of what the far program says of its errors.
type said struct {
	mutex sync.Mutex
	text  []byte
}

func (s *said) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.text = append(s.text, p[:min(len(p), 4096-len(s.text))]...)
	return len(p), nil
}

func (s *said) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return string(s.text)
}

func (f *Fetcher) connectSSH(ctx context.Context, r Remote, a address) (session, error) {
	key, err := signer(r.SSHKey)
	if err != nil {
		return nil, err
	}
	keys, err := f.hostKeys(r, a)
	if err != nil {
		return nil, err
	}
	conn, err := f.dial(ctx, "tcp", a.hostPort())
	if err != nil {
		return nil, err
	}
	// Nothing of the ssh library knows of contexts: the connection ends with it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	config := &ssh.ClientConfig{
		User: a.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms,
		ClientVersion: "SSH-2.0-fairlead",
	}
	under, channels, requests, err := ssh.NewClientConn(conn, a.hostPort(), config)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, keys.explain(ctx, err)
	}
	s := &shell{remote: r, address: a, client: ssh.NewClient(under, channels, requests), said: &said{}, stop: stop}
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// start begins git-upload-pack at the far side.
func (s *shell) start() error {
	session, err := s.client.NewSession()
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	session.Stderr = s.said
	var inErr, outErr error
	s.in, inErr = session.StdinPipe()
	s.out, outErr = session.StdoutPipe()
	s.ended = session.Wait
	// The far side's shell reads the path; the quotes keep it one word.
	quotedPath := "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s.address.path) + "'"
	if err := errors.Join(inErr, outErr, session.Start(service+" "+quotedPath)); err != nil {
		return fmt.Errorf("starting %s: %w", service, err)
	}
	return nil
}

func (s *shell) close() {
	s.stop()
	_ = s.client.Close()
}

func (s *shell) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := decodeAdvertised(s.out)
	if err == nil || ctx.Err() != nil {
		return refs, err
	}
	if errors.Is(err, errTooLarge) {
		return nil, err
	}
	// Wait for the program's end, which brings what it said last; a host that
	// holds it back is cut off by the connection's own patience.
	_ = s.in.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(s.out, 1<<20))
	if exit := s.ended(); exit != nil && ctx.Err() == nil {
		err = errors.Join(err, exit)
	}
	return nil, s.explain(err)
}

// explain makes a fault of what the far program said, which differs from host
// to host and has no code.
func (s *shell) explain(err error) error {
	text := s.said.String()
	if line, ok := errors.AsType[*pktline.ErrorLine](err); ok {
		text = line.Text + "\n" + text
	}
	lower := strings.ToLower(text)
	for _, unknown := range []string{"not found", "does not appear to be a git repository", "does not exist", "could not be found", "no such repository", "not a git repository"} {
		if strings.Contains(lower, unknown) {
			return unknownRepository(s.address, false).WithCause(foreign(s.remote, errors.New(text)))
		}
	}
	for _, no := range []string{"denied", "not allowed", "forbidden", "not authorized", "unauthorized", "no access"} {
		if strings.Contains(lower, no) {
			return denied(s.address).WithCause(foreign(s.remote, errors.New(text)))
		}
	}
	if strings.TrimSpace(text) != "" {
		return fault.New(fault.Unavailable, "git_unreachable", "the git host %s does not serve the repository; it says %s", s.address.host, quoted(s.remote, text)).
			WithHint("See that the address is one that `git clone` takes, and try again.").WithCause(foreign(s.remote, err))
	}
	return err
}

func (s *shell) exchange(_ context.Context, request *packp.UploadPackRequest) (io.ReadCloser, error) {
	var body bytes.Buffer
	if err := errors.Join(
		request.UploadRequest.Encode(&body),
		request.UploadHaves.Encode(&body, true),
		pktline.NewEncoder(&body).EncodeString("done\n"),
	); err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	// Both ways at once: the far side may answer before it has read everything.
	go func() {
		_, _ = s.in.Write(body.Bytes()) // what failed here, the reading tells
		_ = s.in.Close()
	}()
	return io.NopCloser(s.out), nil
}

// hostKeys are the keys that a host may show.
type hostKeys struct {
	remote     Remote
	address    address
	known      ssh.HostKeyCallback
	algorithms []string // nil: any
	verdict    error    // of check; the ssh library hides it in a text
}

// hostKeys reads the lines of the remote. The library reads files alone.
func (f *Fetcher) hostKeys(r Remote, a address) (*hostKeys, error) {
	k := &hostKeys{remote: r, address: a}
	file, err := os.CreateTemp(f.config.Dir, "known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("keeping the known hosts: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.WriteString(r.KnownHosts)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("keeping the known hosts: %w", err)
	}
	if k.known, err = knownhosts.New(file.Name()); err != nil {
		return nil, fault.InvalidField("known_hosts", "git_known_hosts", "it cannot be read").
			WithHint("Each line is what `ssh-keyscan` prints: the host, the kind of key, and the key.").WithCause(err)
	}
	if !strings.Contains(r.KnownHosts, "@cert-authority") {
		k.algorithms = k.knownAlgorithms()
	}
	return k, nil
}

// knownAlgorithms are the kinds of keys that are known of the host, so that it
// shows one of them and not the one it likes best.
func (k *hostKeys) knownAlgorithms() []string {
	var algorithms []string
	mismatch, _ := errors.AsType[*knownhosts.KeyError](k.known(k.address.hostPort(), &net.TCPAddr{}, noKey{}))
	if mismatch == nil {
		return nil
	}
	for _, known := range mismatch.Want {
		if kind := known.Key.Type(); kind == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, kind)
		}
	}
	return algorithms
}

// noKey is a key that nobody has, to ask which ones are known.
type noKey struct{}

func (noKey) Type() string                            { return "none" }
func (noKey) Marshal() []byte                         { return []byte("none") }
func (noKey) Verify(_ []byte, _ *ssh.Signature) error { return errors.New("no key") }

// check is asked by the ssh library before anything of the login is sent.
func (k *hostKeys) check(name string, remote net.Addr, key ssh.PublicKey) error {
	err := k.known(name, remote, key)
	if err == nil {
		return nil
	}
	fingerprint := ssh.FingerprintSHA256(key)
	mismatch, ok := errors.AsType[*knownhosts.KeyError](err)
	if ok && len(mismatch.Want) == 0 {
		k.verdict = fault.InvalidField("known_hosts", "git_host_key_unknown", "the ssh host %s shows the key %s, and it is not known whether that is its own", k.address.host, fingerprint).
			WithHint("Enter what `%s` prints, after comparing the fingerprint with the one that the host publishes.", k.scan())
	} else {
		k.verdict = k.changed("the ssh host %s shows the key %s, which is not the one that is known of it", k.address.host, fingerprint)
	}
	return k.verdict
}

func (k *hostKeys) scan() string {
	if k.address.port == "22" {
		return "ssh-keyscan " + k.address.host
	}
	return "ssh-keyscan -p " + k.address.port + " " + k.address.host
}

func (k *hostKeys) changed(message string, args ...any) *fault.Error {
	return fault.New(fault.Denied, "git_host_key_changed", message, args...).
		WithHint("Somebody may be in between. If the host did change its key, enter what `%s` prints, after comparing the fingerprint with the one that the host publishes.", k.scan())
}

// explain makes a fault of what ended the handshake.
func (k *hostKeys) explain(ctx context.Context, err error) error {
	kinds, noKinds := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	switch {
	case ctx.Err() != nil:
		return err
	case k.verdict != nil:
		return k.verdict
	case noKinds && k.algorithms != nil && kinds.What == "host key":
		return k.changed("the ssh host %s has no key of the kind that is known of it", k.address.host)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return refused(k.address, false).WithCause(foreign(k.remote, err))
	}
	return err
}
