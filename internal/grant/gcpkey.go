package grant

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"regexp"
	"slices"

	"cloud.google.com/go/auth"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// googleKey is a key file. https://google.aip.dev/auth/4112
type googleKey struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
	Universe     string `json:"universe_domain"`
}

const (
	// googleTokenURI is where keys are traded.
	googleTokenURI = "https://oauth2.googleapis.com/token"

	// googleUniverse is the cloud that these hosts are of; a sovereign one has
	// others.
	googleUniverse = "googleapis.com"
)

// googleTokenURIs are what Google writes into keys, now and in older ones. All
// are traded at the first.
var googleTokenURIs = []string{
	googleTokenURI,
	"https://accounts.google.com/o/oauth2/token",
	"https://www.googleapis.com/oauth2/v4/token",
}

// The account's own addresses, and those of Google's default accounts.
// https://cloud.google.com/iam/docs/service-account-types
var (
	googleEmail   = regexp.MustCompile(`^[a-z0-9.-]{1,100}@(?:[a-z0-9-]{1,63}\.){1,8}gserviceaccount\.com$`)
	googleProject = regexp.MustCompile(`^(?:[a-z0-9.-]{1,100}:)?[a-z][a-z0-9-]{4,60}$`)
	googleKeyID   = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
)

// parseGoogleKey checks a key file field by field; the error tells of all wrong
// ones and shows nothing of the key. allowed is what its token_uri must be, where
// an admin allowed another than Google's: a crafted one would have assertions
// sent elsewhere.
func parseGoogleKey(text secret.Text, allowed string) (googleKey, error) {
	var key googleKey
	if err := json.Unmarshal([]byte(text.Reveal()), &key); err != nil { // whose words would show the text
		return googleKey{}, fault.InvalidField(fieldKey, "key_json", "is no JSON of a key").
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
	if err := checkRSA(key.PrivateKey); err != nil {
		bad("private_key", err.Error())
	}
	if !googleEmail.MatchString(key.ClientEmail) {
		bad("client_email", "is missing or is no service account's address")
	}
	switch {
	case allowed != "" && key.TokenURI != allowed:
		bad("token_uri", "is not what the field "+fieldTokenURI+" allows, so the key is not traded there")
	case allowed == "" && !slices.Contains(googleTokenURIs, key.TokenURI):
		bad("token_uri", "is not "+googleTokenURI+", so the key is not traded there")
	}
	if key.Universe != "" && key.Universe != googleUniverse {
		bad("universe_domain", "is not "+googleUniverse)
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

// normaliseKey checks a credential with a key, and reads out of the key what is
// shown of it.
func (gcp) normaliseKey(out Material) (Material, []string, error) {
	key, err := parseGoogleKey(out.Secrets[fieldKey], out.Config[fieldTokenURI])
	if err := fault.Join(checkEndpoint(out.Config[fieldTokenURI], fieldTokenURI), err); err != nil {
		return Material{}, nil, err
	}
	out.Config[fieldClientEmail], out.Config[fieldProjectID], out.Config[fieldKeyID] = key.ClientEmail, key.ProjectID, key.PrivateKeyID
	return out, nil, nil
}

// byKey trades an assertion that the key signs for an access token.
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
func (gcp) byKey(ctx context.Context, m Material, transport *oci.Transport) (*auth.Token, error) {
	key, err := parseGoogleKey(m.Secrets[fieldKey], m.Config[fieldTokenURI])
	if err != nil {
		return nil, err
	}
	endpoint := googleTokenURI
	if own := m.Config[fieldTokenURI]; own != "" {
		endpoint = own
	}
	address, err := url.Parse(endpoint)
	if err != nil {
		return nil, fault.InvalidField(fieldTokenURI, "endpoint_address", "is no address")
	}
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{
		Email: key.ClientEmail, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.PrivateKeyID,
		TokenURL: endpoint, Scopes: googleScopes,
		Client: googleClient(transport, []secret.Text{m.Secrets[fieldKey]}, address.Host), Logger: noGoogleLog,
	})
	if err != nil {
		return nil, err
	}
	return provider.Token(ctx)
}
