package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// graphMost is how long Microsoft Graph is waited for: a check says without it
// that the end is not known.
const graphMost = 10 * time.Second

// passwordCredential is what the directory tells of a client secret.
// https://learn.microsoft.com/graph/api/resources/passwordcredential
type passwordCredential struct {
	Hint  string    `json:"hint"` // the first three characters
	Begin time.Time `json:"startDateTime"`
	Ends  time.Time `json:"endDateTime"`
}

// clientSecret asks Microsoft Graph which of the application's secrets the
// credential's is, and so when it ends. An application may read itself only with
// the right to read all of them, so a Denied fault is what is to be expected. No
// error shows a secret.
func (a azure) clientSecret(ctx context.Context, m Material, host string) (passwordCredential, error) {
	transport, err := a.exchange.ways.of(m)
	if err != nil {
		return passwordCredential{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, graphMost)
	defer cancel()
	graph := cloudOf(host).graph
	token, err := a.entra(ctx, m, transport, host, "https://"+graph+"/.default", image.Reference{})
	if err != nil {
		return passwordCredential{}, err
	}
	address := "https://" + graph + "/v1.0/applications(appId='" + m.Config[fieldClientID] + "')?$select=passwordCredentials"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return passwordCredential{}, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	response, err := (&http.Client{Transport: transport.Services(graph), CheckRedirect: noRedirects}).Do(request)
	if err == nil {
		defer func() { _ = response.Body.Close() }() // only read
		if response.StatusCode != http.StatusOK {
			err = oci.ReadError(response, "", token)
		}
	}
	if err != nil {
		return passwordCredential{}, diagnosis.Of(oci.RedactError(err), diagnosis.Subject{Service: diagnosis.Entra, User: m.Config[fieldClientID]})
	}
	const most = 1 << 20
	var answer struct {
		Passwords []passwordCredential `json:"passwordCredentials"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&answer); err != nil {
		return passwordCredential{}, fmt.Errorf("reading the answer of %s: %w", graph, err)
	}
	return whichSecret(answer.Passwords, m.Secrets[fieldClientSecret].Reveal(), a.exchange.now()), nil
}

// whichSecret finds a secret that was just accepted among an application's: of
// those that have not ended and begin like it, the one that ends first. Zero if
// there is none.
func whichSecret(all []passwordCredential, text string, now time.Time) passwordCredential {
	var found passwordCredential
	for _, one := range all {
		if one.Ends.After(now) && strings.HasPrefix(text, one.Hint) && (found.Ends.IsZero() || one.Ends.Before(found.Ends)) {
			found = one
		}
	}
	return found
}
