package relay_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/relay"
	"fairlead.dev/fairlead/internal/store"
)

// noon is when everything happens.
var noon = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record writes n rows.
func record(t *testing.T, s *store.Store, n int) {
	t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{Time: noon, Actor: "ada", Verb: audit.GrantIssue, Result: audit.ResultOK, ObjectName: "hüb\n" + fmt.Sprint(i)}
	}
	must(t, s.Record(t.Context(), events...))
}

// to is a relay from a store to a target, and its log.
func to(t *testing.T, s *store.Store, target string, roots *x509.CertPool) (*relay.Relay, *bytes.Buffer) {
	t.Helper()
	parsed, err := relay.ParseTarget(target)
	must(t, err)
	log := new(bytes.Buffer)
	sink := parsed.Open(roots)
	t.Cleanup(func() { _ = sink.Close() })
	return relay.New(relay.Config{
		Store: s, Name: parsed.String(), Sink: sink, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}), log
}

func send(t *testing.T, r *relay.Relay, want int) {
	t.Helper()
	if sent, err := r.Send(t.Context()); err != nil || sent != want {
		t.Fatalf("%d rows went out, want %d: %v", sent, want, err)
	}
}

// verified is how many rows a file has, all of them right and none absent.
func verified(t *testing.T, text []byte) int64 {
	t.Helper()
	report, err := audit.VerifyFile(t.Context(), bytes.NewReader(text), audit.Point{}, true, nil)
	must(t, err)
	if report.Problem != nil {
		t.Fatalf("%+v", report.Problem)
	}
	return report.Count
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return text
}

func TestAFileHasEveryRowAlsoAfterItWasMovedAway(t *testing.T) {
	s, path := open(t), filepath.Join(t.TempDir(), "audit.jsonl")
	r, _ := to(t, s, path, nil)
	record(t, s, 1200) // more than two batches
	if lag, err := r.Lag(t.Context()); err != nil || lag.Rows != 1200 || !lag.Oldest.Equal(noon) {
		t.Errorf("the lag is %+v, %v", lag, err)
	}
	send(t, r, 1200)
	send(t, r, 0)
	if lag, err := r.Lag(t.Context()); err != nil || lag != (relay.Lag{}) {
		t.Errorf("the lag is %+v, %v", lag, err)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	must(t, os.Rename(path, path+".1"))
	record(t, s, 3)
	send(t, r, 3)
	if got := verified(t, slices.Concat(read(t, path+".1"), read(t, path))); got != 1203 {
		t.Errorf("%d rows", got)
	}
	if got := verified(t, read(t, path)); got != 3 {
		t.Errorf("%d rows are in the new file", got)
	}
	must(t, os.Remove(path))
	r.Reopen()
	record(t, s, 1)
	send(t, r, 1)
	if got := verified(t, read(t, path)); got != 1 {
		t.Errorf("%d rows are in the newest file", got)
	}
}

func TestAnotherProcessGoesOnWhereOneWasKilled(t *testing.T) {
	s, path := open(t), filepath.Join(t.TempDir(), "audit.jsonl")
	record(t, s, 5)
	first, _ := to(t, s, path, nil)
	send(t, first, 5)
	record(t, s, 2)

	// A kill amid a row: half of it is there, and it was not noted.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteString(`{"id":6,"time":"2026`)
	must(t, err)
	must(t, file.Close())
	second, _ := to(t, s, path, nil)
	send(t, second, 2)
	if got := verified(t, read(t, path)); got != 7 {
		t.Errorf("%d rows", got)
	}
	other, _ := to(t, s, path+".other", nil)
	send(t, other, 7)
}

func TestWhatSomebodyElseWroteStays(t *testing.T) {
	s, path := open(t), filepath.Join(t.TempDir(), "audit.jsonl")
	must(t, os.WriteFile(path, []byte("somebody's\nnotes"), 0o600))
	record(t, s, 1)
	r, _ := to(t, s, path, nil)
	send(t, r, 1)
	if text := string(read(t, path)); !strings.HasPrefix(text, "somebody's\nnotes\n{\"id\":1,") {
		t.Errorf("it is %s", text)
	}
}

func TestATargetThatIsAwayKeepsItsRows(t *testing.T) {
	s, dir := open(t), filepath.Join(t.TempDir(), "away")
	r, _ := to(t, s, filepath.Join(dir, "audit.jsonl"), nil)
	record(t, s, 2)
	for range 2 {
		if sent, err := r.Send(t.Context()); err == nil || sent != 0 {
			t.Fatalf("%d rows went out, %v", sent, err)
		}
	}
	if lag, err := r.Lag(t.Context()); err != nil || lag.Rows != 2 {
		t.Errorf("the lag is %+v, %v", lag, err)
	}
	must(t, os.Mkdir(dir, 0o700))
	record(t, s, 1)
	send(t, r, 3)
}

func TestRowsThatWereRemovedUnsentAreTold(t *testing.T) {
	s, path := open(t), filepath.Join(t.TempDir(), "audit.jsonl")
	r, log := to(t, s, path, nil)
	record(t, s, 2)
	send(t, r, 2)
	record(t, s, 3)
	_, err := audit.Expire(t.Context(), s, noon.Add(48*time.Hour), 24*time.Hour, 4)
	must(t, err)
	send(t, r, 2) // the fifth, and that the four were removed
	if !strings.Contains(log.String(), "removed for their age before they went out") || !strings.Contains(log.String(), "rows=2") {
		t.Errorf("the log is %s", log)
	}
}

// frames reads messages with their lengths before them, until there are n.
func frames(t *testing.T, conn io.Reader, n int) (messages []string) {
	t.Helper()
	in := bufio.NewReader(conn)
	for range n {
		size, err := in.ReadString(' ')
		must(t, err)
		length, err := strconv.Atoi(strings.TrimSuffix(size, " "))
		must(t, err)
		message := make([]byte, length)
		_, err = io.ReadFull(in, message)
		must(t, err)
		messages = append(messages, string(message))
	}
	return messages
}

// messageRule is RFC 5424's message of a row, without structured data.
var messageRule = regexp.MustCompile(`^<(110|108)>1 2026-03-09T12:00:00\.000000Z [!-~]+ fairlead [0-9]+ grant\.issue - (\{"id":.*\})$`)

// rowsOf are the lines in messages.
func rowsOf(t *testing.T, messages []string) (text []byte) {
	t.Helper()
	for _, message := range messages {
		match := messageRule.FindStringSubmatch(message)
		if match == nil {
			t.Fatalf("%q is no message", message)
		}
		text = append(append(text, match[2]...), '\n')
	}
	return text
}

// accepted gives the connections that a listener takes.
func accepted(t *testing.T, listener net.Listener) <-chan net.Conn {
	t.Helper()
	conns := make(chan net.Conn, 8)
	go func() {
		defer close(conns)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return conns
}

func TestARowThatABrokenConnectionTookIsSentAgain(t *testing.T) {
	s := open(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	conns := accepted(t, listener)
	r, _ := to(t, s, "syslog:tcp://"+listener.Addr().String(), nil)
	record(t, s, 2)
	send(t, r, 2)
	conn := <-conns
	if got := verified(t, rowsOf(t, frames(t, conn, 2))); got != 2 {
		t.Errorf("%d rows", got)
	}
	must(t, conn.Close())
	record(t, s, 1)
	if sent, err := r.Send(t.Context()); err == nil {
		t.Fatalf("%d rows went to a connection that was ended", sent)
	}
	send(t, r, 1)
	if rows := rowsOf(t, frames(t, <-conns, 1)); !bytes.HasPrefix(rows, []byte(`{"id":3,`)) {
		t.Errorf("got %s", rows)
	}
}

func TestRowsGoToASyslogServerWithTLSThatIsTrusted(t *testing.T) {
	s := open(t)
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12})
	must(t, err)
	conns := accepted(t, listener)
	messages := make(chan []string, 2)
	go func() {
		for conn := range conns {
			if conn.(*tls.Conn).HandshakeContext(t.Context()) == nil {
				messages <- append(frames(t, conn, 2), frames(t, conn, 1)...)
			}
		}
	}()
	record(t, s, 2)
	strange, _ := to(t, s, "syslog:tls://"+listener.Addr().String(), x509.NewCertPool())
	if sent, err := strange.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("%d rows went to a stranger: %v", sent, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	r, _ := to(t, s, "syslog:tls://"+listener.Addr().String(), roots)
	send(t, r, 2)
	record(t, s, 1)
	send(t, r, 1)
	if got := verified(t, rowsOf(t, <-messages)); got != 3 {
		t.Errorf("%d rows", got)
	}
}

func TestARowIsADatagram(t *testing.T) {
	for _, network := range []string{"udp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := open(t)
			kind, address := network, "127.0.0.1:0"
			if network == "unix" {
				kind, address = "unixgram", filepath.Join(t.TempDir(), "log")
			}
			conn, err := net.ListenPacket(kind, address)
			must(t, err)
			defer func() { _ = conn.Close() }()
			r, _ := to(t, s, "syslog:"+network+"://"+conn.LocalAddr().String(), nil)
			record(t, s, 2)
			send(t, r, 2)
			var messages []string
			for range 2 {
				message := make([]byte, 64<<10)
				n, _, err := conn.ReadFrom(message)
				must(t, err)
				messages = append(messages, string(message[:n]))
			}
			if got := verified(t, rowsOf(t, messages)); got != 2 {
				t.Errorf("%d rows", got)
			}

			// What no datagram holds does not hold the others up.
			must(t, s.Record(t.Context(), audit.Event{Time: noon, Verb: audit.GrantIssue, Details: map[string]string{"long": strings.Repeat("x", 300_000)}}))
			send(t, r, 1)
			message := make([]byte, 64<<10)
			n, _, err := conn.ReadFrom(message)
			must(t, err)
			if got := string(message[:n]); !strings.HasSuffix(got, `grant.issue - {"id":3,"unreadable":true}`) || !strings.HasPrefix(got, "<108>") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestASocketThatTakesStreamsGetsOne(t *testing.T) {
	s := open(t)
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "log"))
	must(t, err)
	conns := accepted(t, listener)
	received := make(chan []string, 1)
	go func() { received <- frames(t, <-conns, 2) }()
	r, _ := to(t, s, "syslog:unix://"+listener.Addr().String(), nil)
	record(t, s, 2)
	send(t, r, 2)
	if got := verified(t, rowsOf(t, <-received)); got != 2 {
		t.Errorf("%d rows", got)
	}
}

func TestATargetHasOneNameHoweverItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"-":                               "stdout",
		"/var/log/../log/audit":           "file:/var/log/audit",
		"syslog:udp://log.acme.example":   "syslog:udp://log.acme.example:514",
		"syslog:tcp://[::1]:7000/":        "syslog:tcp://[::1]:7000",
		"syslog:tls://log.acme.example":   "syslog:tls://log.acme.example:6514",
		"syslog:unix:///dev/log":          "syslog:unix:///dev/log",
		"syslog:tcp://log.acme.example:1": "syslog:tcp://log.acme.example:1",
	} {
		if target, err := relay.ParseTarget(text); err != nil || target.String() != want {
			t.Errorf("%s: got %s, %v", text, target, err)
		}
	}
	for _, text := range []string{
		"", "syslog:", "syslog:log.acme.example", "syslog:http://x", "syslog:udp://", "syslog:udp:///x", "syslog:unix://dev/log", "syslog:unix:log",
		"syslog:tcp://user:secret@x", "syslog:tcp://x/y", "syslog:tcp://x?y", "syslog:tcp://x:port",
	} {
		target, err := relay.ParseTarget(text)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %s, %v", text, target, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: a secret is shown: %v", text, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, text := range []string{"-", "/x", "syslog:udp://x", "syslog:unix:///dev/log", "syslog:tls://[::1]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := relay.ParseTarget(text)
		if err != nil {
			return
		}
		name := target.String()
		if strings.HasPrefix(name, "syslog:") {
			if again, err := relay.ParseTarget(name); err != nil || again != target {
				t.Errorf("%q became %q, which is %v, %v", text, name, again, err)
			}
		}
	})
}
