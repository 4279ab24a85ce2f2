package grant

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// gcp is Google Artifact Registry, and what Container Registry's hosts are now,
// with a service account's key.
// https://cloud.google.com/artifact-registry/docs/docker/authentication
type gcp struct {
	exchange exchange
	tokens   *googleTokens
}

const (
	nameGCP           = "gcp"
	fieldKey          = "service_account_json"
	fieldClientEmail  = "client_email"
	fieldProjectID    = "project_id"
	fieldPrivateKeyID = "private_key_id"
	fieldTokenURI     = "token_uri"

	// googleTokenURI is where keys are traded, as Google writes it into them.
	googleTokenURI = "https://oauth2.googleapis.com/token"
)

func (gcp) Description() Description {
	return Description{
		Name:        nameGCP,
		Title:       "Google Artifact Registry",
		Help:        "The JSON key of a service account that may read Artifact Registry; gcr.io too.",
		LegacyNames: []string{"gcp-cr"},
		Fields: []Field{
			{
				Name: fieldKey, Title: "Service account key", Secret: true, Required: true, Lines: true,
				Help:    "The key file that Google Cloud makes, pasted whole.",
				Example: `{"type": "service_account", …}`,
			},
			{
				Name: fieldTokenURI, Title: "Token endpoint", Advanced: true,
				Help: "Only where keys are traded at another address than Google's own, such as a private endpoint: then the key's token_uri must be this one.",
			},
			{Name: fieldClientEmail, Title: "Service account", Help: "Read out of the key.", Advanced: true},
			{Name: fieldProjectID, Title: "Project", Help: "Read out of the key.", Advanced: true},
			{Name: fieldPrivateKeyID, Title: "Key ID", Help: "Read out of the key.", Advanced: true},
		},
		Patterns: []string{"us-central1-docker.pkg.dev/my-project/my-repository/*", "gcr.io/my-project/*"},
	}
}

// googleKey is a key file. https://google.aip.dev/auth/4112
type googleKey struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
}

var (
	googleEmail   = regexp.MustCompile(`^[a-z0-9-]{1,100}@[a-z0-9.:-]{1,200}$`)
	googleProject = regexp.MustCompile(`^[a-z0-9.:-]{1,200}$`)
	googleKeyID   = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
)

// parseGoogleKey checks a key file field by field. tokenURI is what its
// token_uri must be: a crafted one would have assertions sent elsewhere.
func parseGoogleKey(text secret.Text, tokenURI string) (googleKey, error) {
	var key googleKey
	if err := json.Unmarshal([]byte(text.Reveal()), &key); err != nil {
		return key, fault.InvalidField(fieldKey, "key_json", "is no JSON").
			WithHint("Paste the whole key file, from { to }, or give it with --field-file %s=FILE.", fieldKey)
	}
	var errs []error
	bad := func(name, what string) {
		errs = append(errs, fault.InvalidField(fieldKey, "key_field", "in the key, %s %s", name, what).
			WithHint("Make a key with `gcloud iam service-accounts keys create key.json --iam-account ACCOUNT`, and give the whole file."))
	}
	if key.Type != "service_account" {
		bad("type", "is not service_account")
	}
	if !googleProject.MatchString(key.ProjectID) {
		bad("project_id", "is missing or is no project")
	}
	if !googleKeyID.MatchString(key.PrivateKeyID) {
		bad("private_key_id", "is missing or is no key's ID")
	}
	if !googleEmail.MatchString(key.ClientEmail) {
		bad("client_email", "is missing or is no service account's address")
	}
	if err := checkRSA(key.PrivateKey); err != nil {
		bad("private_key", err.Error())
	}
	if key.TokenURI != tokenURI {
		bad("token_uri", "is not "+tokenURI+", so the key is not sent there")
	}
	return key, fault.Join(errs...)
}

// checkRSA says what is wrong with a private key, without showing it.
func checkRSA(text string) error {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return errors.New("is missing or is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return errors.New("cannot be read: it is not copied whole")
	}
	const leastBits = 2048
	if key, ok := parsed.(*rsa.PrivateKey); !ok || key.N.BitLen() < leastBits {
		return errors.New("is no RSA key of 2048 bits or more")
	}
	return nil
}

func (g gcp) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(g.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	if err := checkEndpoint(out.Config[fieldTokenURI], fieldTokenURI); err != nil {
		return Material{}, nil, err
	}
	key, err := parseGoogleKey(out.Secrets[fieldKey], tokenURIOf(out))
	if err != nil {
		return Material{}, nil, err
	}
	out.Config[fieldClientEmail], out.Config[fieldProjectID], out.Config[fieldPrivateKeyID] = key.ClientEmail, key.ProjectID, key.PrivateKeyID
	return out, nil, nil
}

func tokenURIOf(m Material) string {
	if own := m.Config[fieldTokenURI]; own != "" {
		return own
	}
	return googleTokenURI
}

// isGoogleHost reports whether a registry is Artifact Registry's.
func isGoogleHost(host string) bool { return diagnosis.At(host) == diagnosis.ArtifactRegistry }

func (g gcp) Issue(ctx context.Context, request Request) (Grant, error) {
	if !isGoogleHost(request.Image.Host()) {
		return Grant{}, fault.InvalidField("image", "image_not_google", "%s is not on Artifact Registry, and a credential of kind %s is for nothing else", request.Image, nameGCP).
			WithHint("Its hosts are LOCATION-docker.pkg.dev and gcr.io. Use a credential of another kind for this image.")
	}
	access, err := g.access(ctx, request.Material, request.Image)
	if err != nil {
		return Grant{}, err
	}
	grant, err := g.exchange.issue(ctx, request, g.login(access))
	if err == nil && access.ends.Before(grant.ExpiresAt) {
		narrow := grant.Narrow
		grant = newGrant(request.Image, grant.Authorization, grant.IssuedAt, access.ends.Sub(grant.IssuedAt))
		grant.Narrow = narrow
	}
	return grant, err
}

func (gcp) login(access googleAccess) login {
	return login{
		user: "oauth2accesstoken", secret: access.token, service: diagnosis.ArtifactRegistryToken, shown: access.email,
		basicHint: "Artifact Registry itself has a token service: check what answers in its place.",
	}
}

// googleScope is what the access token is asked for: Artifact Registry takes no
// narrower one that every location knows, and what the account may decides.
// https://cloud.google.com/artifact-registry/docs/access-control
const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// googleAccess is an access token of a service account.
type googleAccess struct {
	email string
	token secret.Text
	ends  time.Time
}

// googleTokens keep access tokens until shortly before they end, so that any
// number of repositories cause one assertion.
type googleTokens struct {
	flights singleflight.Group

	mu     sync.Mutex
	access map[[sha256.Size]byte]googleAccess
}

// accessAhead is how long before its end a token is asked for anew, and
// accessMost how many are kept.
const (
	accessAhead = 5 * time.Minute
	accessMost  = 1000
)

// access trades the key for an access token.
func (g gcp) access(ctx context.Context, m Material, ref image.Reference) (googleAccess, error) {
	text := m.Secrets[fieldKey].Reveal()
	id := sha256.Sum256([]byte(text + "\n" + tokenURIOf(m)))
	g.tokens.mu.Lock()
	known := g.tokens.access[id]
	g.tokens.mu.Unlock()
	if g.exchange.now().Add(accessAhead).Before(known.ends) {
		return known, nil
	}
	result, err, _ := g.tokens.flights.Do(string(id[:]), func() (any, error) {
		return g.trade(context.WithoutCancel(ctx), m, ref)
	})
	if err != nil {
		return googleAccess{}, err
	}
	fresh := result.(googleAccess) //nolint:forcetypeassert // the flight returns nothing else
	g.tokens.mu.Lock()
	defer g.tokens.mu.Unlock()
	if g.tokens.access == nil || len(g.tokens.access) >= accessMost {
		g.tokens.access = make(map[[sha256.Size]byte]googleAccess)
	}
	g.tokens.access[id] = fresh
	return fresh, nil
}

func (g gcp) trade(ctx context.Context, m Material, ref image.Reference) (googleAccess, error) {
	uri := tokenURIOf(m)
	key, err := parseGoogleKey(m.Secrets[fieldKey], uri)
	if err != nil {
		return googleAccess{}, err
	}
	address, err := url.Parse(uri)
	if err != nil {
		return googleAccess{}, fault.InvalidField(fieldTokenURI, "endpoint_address", "is no address")
	}
	transport, err := g.exchange.ways.of(m)
	if err != nil {
		return googleAccess{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, roleExchangeMost)
	defer cancel()
	begin := g.exchange.now()
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{
		Email: key.ClientEmail, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.PrivateKeyID,
		TokenURL: uri, Scopes: []string{googleScope},
		Client: &http.Client{Transport: transport.Services(address.Host), CheckRedirect: noRedirects},
	})
	if err != nil {
		return googleAccess{}, googleFault(err, key.ClientEmail, ref)
	}
	token, err := provider.Token(ctx)
	if err != nil {
		return googleAccess{}, googleFault(err, key.ClientEmail, ref, m.Secrets[fieldKey])
	}
	life := time.Until(token.Expiry)
	return googleAccess{email: key.ClientEmail, token: secret.New(token.Value), ends: begin.Add(life)}, nil
}

// googleFault is the diagnosis of an error of Google's library.
func googleFault(err error, email string, ref image.Reference, hide ...secret.Text) error {
	if said, ok := errors.AsType[*auth.Error](err); ok && said.Response != nil {
		err = googleAnswer(said.Response, said.Body, hide...)
	}
	return diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Google, Image: ref, User: email})
}

// googleAnswer reads what an API of Google said: OAuth 2.0's form, or Google's
// own with a status and reasons. https://cloud.google.com/apis/design/errors
func googleAnswer(response *http.Response, body []byte, hide ...secret.Text) *oci.Error {
	told := &oci.Error{Method: http.MethodPost, Host: "Google", Status: response.StatusCode}
	if response.Request != nil {
		told.Method, told.Host = response.Request.Method, response.Request.URL.Host
	}
	var oauth struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	var api struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	switch {
	case json.Unmarshal(body, &oauth) == nil && oauth.Error != "":
		told.Codes, told.Message = []string{oauth.Error}, oci.Clean(oauth.Description, hide...)
	case json.Unmarshal(body, &api) == nil && api.Error.Message != "":
		for _, detail := range api.Error.Details {
			if detail.Reason != "" {
				told.Codes = append(told.Codes, oci.Clean(detail.Reason))
			}
		}
		told.Codes = append(told.Codes, oci.Clean(api.Error.Status))
		told.Message = oci.Clean(api.Error.Message, hide...)
	default:
		told.HTML = strings.HasPrefix(strings.TrimSpace(string(body)), "<")
	}
	return told
}
