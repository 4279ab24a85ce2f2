package account

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// DeviceRequest is what a machine is told that asks to be signed in, after RFC
// 8628: it shows the user code to its person, who types it where they are signed
// in already, and meanwhile asks with the device code for a token.
type DeviceRequest struct {
	DeviceCode secret.Text
	UserCode   string // as XXXX-XXXX
	ExpiresAt  time.Time

	// Interval is how long to wait between two questions, at least.
	Interval time.Duration
}

// DeviceLogin is a machine's request as who decides on it sees it.
type DeviceLogin struct {
	Name      string // of the machine, as it says itself
	Remote    string // the address that it asked from
	CreatedAt time.Time
	ExpiresAt time.Time

	State  DeviceState
	UserID string // who decided; "": nobody yet
}

// DeviceState is what became of a machine's request.
type DeviceState string

// The states.
const (
	DeviceWaiting  DeviceState = "waiting"
	DeviceApproved DeviceState = "approved"
	DeviceDenied   DeviceState = "denied"
)

// Bounds of requests: their life, how often one is asked about, and how many may be
// open at once, of one network and at all.
const (
	deviceLife        = 10 * time.Minute
	deviceInterval    = 5 * time.Second
	deviceSlower      = 5 * time.Second // what RFC 8628 adds for slow_down
	deviceSlack       = time.Second     // questions travel unevenly
	devicesOfNetwork  = 50
	devicesMost       = 10_000
	deviceCodePrefix  = "fld_"
	userCodeLetters   = "BCDFGHJKLMNPQRSTVWXZ" // no vowels, no words, no look-alikes: RFC 8628, section 6.1
	userCodeLength    = 8
	guessesOfActor    = 10
	guessesOfNetwork  = 30
	guessesWindow     = deviceLife
	guessersMost      = 10_000
	deviceUnknownHint = "A code is good for ten minutes and once; `fairlead login` shows a new one."
)

// DeviceStore keeps machines' requests by the hashes of their codes. One whose end
// is past is as good as none.
type DeviceStore interface {
	// CreateDeviceLogin removes those that have ended, and is Exhausted where the
	// network has ofNetwork open ones or there are most.
	CreateDeviceLogin(ctx context.Context, login DeviceLogin, hashes DeviceHashes, network string, ofNetwork, most int) error

	// DeviceLoginByUserCode finds one that nobody has decided on.
	DeviceLoginByUserCode(ctx context.Context, userHash string, at time.Time) (DeviceLogin, error)
	DeviceLoginByCode(ctx context.Context, hash string, at time.Time) (DeviceLogin, error)

	// DecideDeviceLogin changes one that nobody has decided on, once.
	DecideDeviceLogin(ctx context.Context, userHash string, at time.Time, state DeviceState, userID string, event audit.Event) error

	// RedeemDeviceLogin stores the token and removes the request, which its user
	// has approved; of many at once one gets through.
	RedeemDeviceLogin(ctx context.Context, hash string, token Token, tokenHash string, event audit.Event) error
}

// DeviceHashes are what a request is found by: of the device code and of the user
// code.
type DeviceHashes struct{ Device, User string }

// BeginDevice takes the request of a machine called name at the address remote. Too
// many open ones of a network, or at all, are Exhausted.
func (s *Service) BeginDevice(ctx context.Context, name, remote string) (DeviceRequest, error) {
	if err := validName("name", name); err != nil {
		return DeviceRequest{}, err
	}
	now := s.now()
	s.devices.forgetEnded(now)
	request := DeviceRequest{
		DeviceCode: newTokenText(deviceCodePrefix), UserCode: newUserCode(), ExpiresAt: now.Add(deviceLife), Interval: deviceInterval,
	}
	login := DeviceLogin{Name: name, Remote: remote, CreatedAt: now, ExpiresAt: request.ExpiresAt, State: DeviceWaiting}
	hashes := DeviceHashes{Device: HashToken(request.DeviceCode), User: hashUserCode(request.UserCode)}
	return request, s.store.CreateDeviceLogin(ctx, login, hashes, networkOf(remote), devicesOfNetwork, devicesMost)
}

// PollDevice gives the token of an approved request, once. Until then the fault's
// code is one of RFC 8628: authorization_pending, slow_down (with how long to wait
// from now on), access_denied, or expired_token, which also stands for a code that
// is unknown or was used.
func (s *Service) PollDevice(ctx context.Context, deviceCode secret.Text) (Token, secret.Text, error) {
	now, hash := s.now(), HashToken(deviceCode)
	login, err := s.store.DeviceLoginByCode(ctx, hash, now)
	if err != nil {
		return Token{}, secret.Text{}, asExpired(err)
	}
	if wait, early := s.devices.early(hash, now, login.ExpiresAt); early {
		return Token{}, secret.Text{}, fault.New(fault.Exhausted, "slow_down", "this is asked too often").
			WithHint("Wait %d seconds between two questions.", int(wait.Seconds())).WithRetryAfter(wait)
	}
	switch login.State {
	case DeviceWaiting:
		return Token{}, secret.Text{}, fault.New(fault.Invalid, "authorization_pending", "nobody has approved this sign-in yet").
			WithHint("Ask again in a few seconds.")
	case DeviceDenied:
		return Token{}, secret.Text{}, fault.New(fault.Denied, "access_denied", "the sign-in was denied").
			WithHint("`fairlead login` begins another.")
	case DeviceApproved:
	}
	user, err := s.store.UserByID(ctx, login.UserID)
	if err != nil {
		return Token{}, secret.Text{}, err
	}
	token := Token{ID: uuid.NewString(), UserID: user.ID, Name: login.Name, CreatedAt: now, ExpiresAt: now.Add(signInTokenLife)}
	text := newTokenText(userTokenPrefix)
	event := s.event(Actor{UserID: user.ID, Username: user.Username, Remote: login.Remote}, audit.UserSignIn, 0, token.ID, token.Name)
	event.Details = map[string]string{"way": "device"}
	if err := s.store.RedeemDeviceLogin(ctx, hash, token, HashToken(text), event); err != nil {
		return Token{}, secret.Text{}, asExpired(err)
	}
	s.devices.forget(hash)
	return token, text, nil
}

// DeviceRequest is what a machine asks that showed userCode, for actor to decide on.
// A code that is unknown, decided on or too old is NotFound; too many of these, of
// one user or one network, are Exhausted.
func (s *Service) DeviceRequest(ctx context.Context, actor Actor, userCode string) (DeviceLogin, error) {
	login, _, err := s.deviceLogin(ctx, actor, userCode)
	return login, err
}

// ApproveDevice gives the machine that showed userCode a token of actor's, the next
// time it asks. Errors are DeviceRequest's.
func (s *Service) ApproveDevice(ctx context.Context, actor Actor, userCode string) error {
	return s.decideDevice(ctx, actor, userCode, DeviceApproved, audit.DeviceApprove)
}

// DenyDevice refuses the machine that showed userCode. Errors are DeviceRequest's.
func (s *Service) DenyDevice(ctx context.Context, actor Actor, userCode string) error {
	return s.decideDevice(ctx, actor, userCode, DeviceDenied, audit.DeviceDeny)
}

func (s *Service) decideDevice(ctx context.Context, actor Actor, userCode string, state DeviceState, verb audit.Verb) error {
	login, hash, err := s.deviceLogin(ctx, actor, userCode)
	if err != nil {
		return err
	}
	event := s.event(actor, verb, 0, "", login.Name)
	event.Details = map[string]string{"remote": login.Remote}
	return asNoDevice(s.store.DecideDeviceLogin(ctx, hash, s.now(), state, actor.UserID, event))
}

// deviceLogin finds the request, with the hash of its user code, and counts wrong
// codes against who types them.
func (s *Service) deviceLogin(ctx context.Context, actor Actor, userCode string) (DeviceLogin, string, error) {
	if actor.UserID == "" {
		return DeviceLogin{}, "", fault.New(fault.Denied, "not_user", "only a user can sign a machine in")
	}
	code, err := parseUserCode(userCode)
	if err != nil {
		return DeviceLogin{}, "", err
	}
	now := s.now()
	// Counted before it is looked at, so that many at once are no way around.
	right, err := s.devices.guess(now, actor)
	if err != nil {
		return DeviceLogin{}, "", err
	}
	hash := hashUserCode(code)
	login, err := s.store.DeviceLoginByUserCode(ctx, hash, now)
	if !fault.Is(err, fault.NotFound) {
		right()
	}
	return login, hash, asNoDevice(err)
}

// asExpired is how a request that is not there is told to the machine.
func asExpired(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.NotFound, "expired_token", "the time to approve this sign-in is over, or its token was fetched").
		WithHint("`fairlead login` begins another.")
}

// asNoDevice is how a request that is not there is told to who typed its code.
func asNoDevice(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.NotFound, "user_code_unknown", "no machine waits with this code").WithHint(deviceUnknownHint)
}

// newUserCode draws a code that a person can type, 34 bits of it.
func newUserCode() string {
	letters := make([]byte, userCodeLength)
	for i := range letters {
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters)))) // never fails, see crypto/rand
		letters[i] = userCodeLetters[n.Int64()]
	}
	return string(letters[:userCodeLength/2]) + "-" + string(letters[userCodeLength/2:])
}

// parseUserCode reads a code as people type it: in small letters, and with the dash,
// a space or nothing in between.
func parseUserCode(text string) (string, error) {
	const most = 4 * userCodeLength
	clean := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(text[:min(len(text), most+1)]))
	if len(text) > most || len(clean) != userCodeLength || strings.Trim(clean, userCodeLetters) != "" {
		return "", fault.InvalidField("user_code", "user_code", "is no code: it has eight letters, as WDJB-MJHT, and none of %s", "AEIOUY").
			WithHint("Type it as the machine shows it.")
	}
	return clean[:userCodeLength/2] + "-" + clean[userCodeLength/2:], nil
}

func hashUserCode(code string) string { return HashToken(secret.New(code)) }
