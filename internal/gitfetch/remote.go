package gitfetch

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Remote is a git repository elsewhere, and how to log in there.
type Remote struct {
	// URL is https://host/path, ssh://user@host/path or user@host:path.
	URL string

	// Username goes with Token. Without one, the name that the host takes for
	// access tokens is sent.
	Username string

	// Token is the password of an https address; empty for a public repository.
	Token secret.Text

	// SSHKey is the private key of an ssh address: PEM, without a passphrase.
	SSHKey secret.Text

	// KnownHosts are lines of a known_hosts file. An ssh host whose key is not
	// among them is refused.
	KnownHosts string
}

// The bounds of what people enter.
const (
	urlMost        = 2048
	knownHostsMost = 64 << 10
)

// address is a URL, taken apart.
type address struct {
	scheme string // https, http or ssh
	user   string // of ssh alone
	host   string // lower case; an IPv6 address without brackets
	port   string
	path   string // for https with its slash, for ssh as the far side is told
}

// hostPort is what to dial.
func (a address) hostPort() string { return net.JoinHostPort(a.host, a.port) }

// String is the one spelling of an address, by which its cache is named.
func (a address) String() string {
	user := ""
	if a.user != "" {
		user = url.PathEscape(a.user) + "@"
	}
	return a.scheme + "://" + user + a.hostPort() + ":" + a.path
}

// isLoopback reports whether the host is this machine by its very name.
func (a address) isLoopback() bool {
	if a.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.IsLoopback()
}

// Check says what is wrong with a remote, without asking its host: an Invalid
// fault names each field. A URL of plain http passes for this machine alone, and
// a Fetcher still refuses it unless its Config allows it.
func Check(r Remote) error {
	a, err := parse(r.URL)
	if err != nil {
		return join(err, checkKey(r), checkKnownHosts(r))
	}
	return join(checkPlain(a), checkLogin(a, r), checkKey(r), checkKnownHosts(r))
}

// join is fault.Join, but that a single finding keeps its hint for itself.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return fault.Join(errs...)
}

func invalidURL(message string, args ...any) *fault.Error {
	return fault.InvalidField("url", "git_url", message, args...).
		WithHint("Enter it as https://host/owner/repository.git or git@host:owner/repository.git.")
}

// parse takes a URL apart, and refuses what leads to this machine's files and
// programs. What it refuses is not repeated, since it may hold a password.
func parse(text string) (address, error) {
	switch {
	case text == "":
		return address{}, invalidURL("the address of the repository is missing")
	case len(text) > urlMost:
		return address{}, invalidURL("the address is longer than %d bytes", urlMost)
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }):
		return address{}, invalidURL("the address holds a blank or a control character")
	}
	if !strings.Contains(text, "://") {
		return parseShort(text)
	}
	u, err := url.Parse(text)
	if err != nil {
		return address{}, invalidURL("the address cannot be read") // the cause would repeat it
	}
	a := address{scheme: strings.ToLower(u.Scheme), host: strings.ToLower(u.Hostname()), port: u.Port(), path: u.EscapedPath()}
	defaults := map[string]string{"https": "443", "http": "80", "ssh": "22"}
	standard, known := defaults[a.scheme]
	if !known {
		return address{}, invalidURL("the scheme %.20q is not fetched from, only https and ssh are", a.scheme)
	}
	a.port = cmp.Or(a.port, standard)
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return address{}, invalidURL("the address ends with a query or a fragment")
	}
	if a.scheme == "ssh" {
		if _, found := u.User.Password(); found {
			return address{}, invalidURL("the address holds a password, and ssh takes a key").
				WithHint("Take it out of the address, and enter a private key in its own field.")
		}
		a.user = cmp.Or(u.User.Username(), "git")
		a.path = u.Path // which goes to no URL again
		if strings.HasPrefix(a.path, "/~") {
			a.path = a.path[1:]
		}
	} else if u.User != nil {
		return address{}, invalidURL("the address holds a user or a password").
			WithHint("Take them out of the address, and enter the username and the token in their own fields.")
	}
	return checkAddress(a)
}

// parseShort reads user@host:path.
func parseShort(text string) (address, error) {
	user, rest, found := strings.Cut(text, "@")
	host, path, more := strings.Cut(rest, ":")
	if strings.HasPrefix(rest, "[") {
		host, path, more = strings.Cut(rest[1:], "]:")
	}
	if !found || !more || user == "" || strings.ContainsAny(user, ":/\\") || strings.HasPrefix(path, ":") {
		return address{}, invalidURL("the address is neither https://… nor user@host:path; files of this machine and other programs are not fetched from")
	}
	return checkAddress(address{scheme: "ssh", user: user, host: strings.ToLower(host), port: "22", path: path})
}

// checkAddress looks at the parts of an address.
func checkAddress(a address) (address, error) {
	port, err := strconv.ParseUint(a.port, 10, 16)
	isName := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
	}
	ip, noIP := netip.ParseAddr(a.host)
	switch {
	case err != nil || port == 0:
		return address{}, invalidURL("the port is no number from 1 to 65535")
	case a.host == "":
		return address{}, invalidURL("the address names no host")
	case noIP != nil && (strings.HasPrefix(a.host, "-") || strings.ContainsFunc(a.host, func(r rune) bool { return !isName(r) })):
		return address{}, invalidURL("%.100q is no name of a host", a.host)
	case noIP == nil && ip.Zone() != "":
		return address{}, invalidURL("the address names a network interface")
	case strings.Trim(a.path, "/") == "":
		return address{}, invalidURL("the address names a host and no repository on it")
	case strings.ContainsFunc(a.path+a.user, unicode.IsControl):
		return address{}, invalidURL("the address holds a control character")
	case strings.HasPrefix(a.path, "-") || strings.HasPrefix(a.user, "-"):
		return address{}, invalidURL("a part of the address starts with a hyphen, as an option of a program does")
	}
	a.port = strconv.FormatUint(port, 10)
	a.path = strings.TrimRight(a.path, "/")
	return a, nil
}

func checkPlain(a address) error {
	if a.scheme == "http" && !a.isLoopback() {
		return invalidURL("plain http shows the code and the token to everybody on the way").WithHint("Use https.")
	}
	return nil
}

// checkLogin says whether what there is to log in with fits the address.
func checkLogin(a address, r Remote) error {
	overSSH := a.scheme == "ssh"
	switch {
	case !r.Token.IsEmpty() && !r.SSHKey.IsEmpty():
		return fault.InvalidField("token", "git_login", "there is a token and an ssh key, and only one of them can log in").
			WithHint("Keep the token for an https address, or the key for an ssh address.")
	case overSSH && !r.Token.IsEmpty():
		return fault.InvalidField("token", "git_login", "a token does not log in over ssh").
			WithHint("Enter an ssh key, or the https address of the repository.")
	case overSSH && r.SSHKey.IsEmpty():
		return fault.InvalidField("ssh_key", "git_login", "ssh needs a private key").
			WithHint("Make one with `ssh-keygen -t ed25519 -N '' -f key`, enter the file key here, and key.pub as a deploy key of the repository.")
	case !overSSH && !r.SSHKey.IsEmpty():
		return fault.InvalidField("ssh_key", "git_login", "an ssh key does not log in over https").
			WithHint("Enter a token, or the ssh address of the repository.")
	case r.Username != "" && r.Token.IsEmpty():
		return fault.InvalidField("username", "git_login", "there is a username and no token").
			WithHint("Enter the token, or take the username away.")
	case len(r.Username) > 255 || strings.ContainsFunc(r.Username, func(c rune) bool { return c == ':' || unicode.IsControl(c) }):
		return fault.InvalidField("username", "git_login", "it is too long, or holds a colon or a control character")
	case len(r.Token.Reveal()) > 8192 || strings.ContainsFunc(r.Token.Reveal(), unicode.IsControl):
		return fault.InvalidField("token", "git_login", "it is too long, or holds a line break or another control character").
			WithHint("Copy it again, without what is around it.")
	}
	return nil
}

func checkKey(r Remote) error {
	if r.SSHKey.IsEmpty() {
		return nil
	}
	_, err := signer(r.SSHKey)
	return err
}

// signer reads a private key. No error holds a part of it.
func signer(key secret.Text) (ssh.Signer, error) {
	read, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
	if err == nil {
		return read, nil
	}
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, fault.InvalidField("ssh_key", "git_ssh_key", "the key is locked with a passphrase").
			WithHint("Make a key for this repository alone with `ssh-keygen -t ed25519 -N '' -f key`.")
	}
	return nil, fault.InvalidField("ssh_key", "git_ssh_key", "this is no private key that can be read").
		WithHint("Enter the whole file, from its line -----BEGIN … to its line -----END …; it is the file without .pub.")
}

func checkKnownHosts(r Remote) error {
	if len(r.KnownHosts) > knownHostsMost {
		return fault.InvalidField("known_hosts", "git_known_hosts", "it is longer than %d bytes", knownHostsMost).
			WithHint("Keep the lines of this repository's host.")
	}
	for rest := []byte(r.KnownHosts); ; {
		var err error
		if _, _, _, _, rest, err = ssh.ParseKnownHosts(rest); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fault.InvalidField("known_hosts", "git_known_hosts", "a line of it cannot be read").
				WithHint("Each line is what `ssh-keyscan` prints: the host, the kind of key, and the key.").WithCause(err)
		}
	}
}

// username is the name that goes with the token: what was entered, or else what
// the host takes for access tokens. GitHub and Gitea take any.
func (r Remote) username(a address) string {
	standard := "x-access-token"
	switch {
	case a.host == "bitbucket.org":
		standard = "x-token-auth"
	case strings.Contains(a.host, "gitlab"):
		standard = "oauth2"
	}
	return cmp.Or(r.Username, standard)
}
