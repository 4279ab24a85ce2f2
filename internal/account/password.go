package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"strings"

	"golang.org/x/crypto/argon2"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// The cost of a password's hash: argon2id with 19 MiB, two passes, one lane, the
// least that OWASP's Password Storage Cheat Sheet gives for argon2id.
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
const (
	argonMemory  = 19 * 1024 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonKeySize = 32
	argonSalt    = 16
)

// The bounds of a password: short ones are guessed, and a very long one only
// makes the server work.
const (
	passwordLeast = 10
	passwordMost  = 1024
)

var hashEncoding = base64.RawStdEncoding

// Passwords hashes and checks passwords. It works on one at a time, so that
// many sign-ins at once cannot fill the memory. Make it with NewPasswords;
// safe for concurrent use.
type Passwords struct{ turn chan struct{} }

// NewPasswords returns a hasher.
func NewPasswords() *Passwords { return &Passwords{turn: make(chan struct{}, 1)} }

// Hash returns the password's PHC string, or an Invalid fault for one that is
// too short or too long.
func (p *Passwords) Hash(password secret.Text) (string, error) {
	if n := len(password.Reveal()); n < passwordLeast || n > passwordMost {
		return "", fault.InvalidField("password", "password_length", "must have %d to %d characters", passwordLeast, passwordMost)
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes,
		hashEncoding.EncodeToString(salt), hashEncoding.EncodeToString(p.key(password, salt, argonPasses, argonMemory, argonLanes, argonKeySize))), nil
}

// Matches reports whether password is the one that was hashed. A hash of "",
// as an unknown user has, costs as much and never matches, so that the time
// does not tell which users there are.
func (p *Passwords) Matches(hash string, password secret.Text) bool {
	if len(password.Reveal()) > passwordMost {
		return false
	}
	var version, memory, passes uint32
	var lanes uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		p.key(password, make([]byte, argonSalt), argonPasses, argonMemory, argonLanes, argonKeySize)
		return false
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false
	}
	salt, saltErr := hashEncoding.DecodeString(parts[4])
	want, keyErr := hashEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(want) == 0 || passes == 0 || lanes == 0 {
		return false
	}
	got := p.key(password, salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

func (p *Passwords) key(password secret.Text, salt []byte, passes, memory uint32, lanes uint8, size uint32) []byte {
	p.turn <- struct{}{}
	defer func() {
		// The work area is as large as half of an idle server, and the runtime
		// would keep it for minutes.
		debug.FreeOSMemory()
		<-p.turn
	}()
	return argon2.IDKey([]byte(password.Reveal()), salt, passes, memory, lanes, size)
}
