package grant

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Check asks Entra and the registry what the service principal is good for.
func (a azure) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	hosts := slices.DeleteFunc(literalHosts(request), func(host string) bool { return !acrHost.MatchString(host) })
	if len(hosts) == 0 {
		checkup.Unknown(AskSecret, "No pattern names a registry of Azure in full, so there is none to ask",
			"Check it with an image: `fairlead registry check NAME --image IMAGE`.")
		return
	}
	client := request.Material.Config[fieldClientID]
	checkup.Report().Identity = "application " + client
	for _, host := range hosts {
		// The right to list shows that the secret is good, also where it is not given.
		token, err := a.token(ctx, request.Material, host, request.Image, oci.CatalogueScope)
		if err != nil {
			checkup.Failed(AskSecret, err)
			return
		}
		checkup.Passed(AskSecret, fmt.Sprintf("Entra and %s accept the application %s", host, client))
		checkup.Passed(AskNarrow, "Each grant is asked for one repository, and for pulling alone")
		names := a.repositories(ctx, request, host, token, checkup)
		a.rights(ctx, request, host, names, checkup)
	}
	a.expiry(ctx, request.Material, hosts[0], checkup)
	checkImage(ctx, a, request, a.exchange, checkup)
}

// repositories lists what patterns cover and can be read.
func (a azure) repositories(ctx context.Context, request CheckRequest, host string, token oci.Token, checkup *Checkup) []string {
	literal := literalRepositories(host, request.Patterns)
	if !request.Image.IsZero() && request.Image.Host() == host {
		literal = append(literal, request.Image.Repository())
	}
	transport, err := a.exchange.ways.of(request.Material)
	if err != nil {
		return literal
	}
	listing, err := oci.NewClient(transport.For(host)).Repositories(ctx, oci.CataloguePath, oci.Bearer(token.Value))
	if err != nil {
		checkup.Unknown(AskRepositories, host+" does not let this application list its repositories, which pulls do not need", "")
		return literal
	}
	found := covered(request.Patterns, host, listing.Names)
	report := checkup.Report()
	report.Listed = true
	for _, name := range found {
		if len(report.Repositories) < MostRepositories {
			report.Repositories = append(report.Repositories, host+"/"+name)
		}
	}
	checkup.Passed(AskRepositories, fmt.Sprintf("It lists %s of %s that a pattern covers", counted(len(found), "repository", "repositories"), host))
	return append(found, literal...)
}

// rights asks for more than reading, and looks at what the registry would give;
// the token is not used.
func (a azure) rights(ctx context.Context, request CheckRequest, host string, names []string, checkup *Checkup) {
	if len(names) == 0 {
		checkup.Unknown(AskRights, "There is no repository to ask for more than reading on", "Name one in a pattern, or check with --image.")
		return
	}
	name := names[0]
	token, err := a.token(ctx, request.Material, host, image.Reference{}, "repository:"+name+":pull,push,delete")
	if err != nil || !token.SaysAccess {
		checkup.Unknown(AskRights, host+" does not tell whether the application may do more than read", "")
		return
	}
	actions := token.Actions(name)
	if !slices.Contains(actions, "pull") {
		checkup.Step(Step{
			Question: AskRights, Result: Failed, Code: "no_pull_right", Sentence: "The application may not pull " + host + "/" + name + ", or it does not exist",
			Hint: "Give it the role AcrPull.", Policy: acrRoles(host, request.Material.Config[fieldClientID], nil),
		})
		return
	}
	var may []string
	for _, action := range []string{"push", "delete"} {
		if slices.Contains(actions, action) {
			may = append(may, action)
		}
	}
	if len(may) == 0 {
		checkup.Passed(AskRights, "It may read and do no more")
		return
	}
	warnMayMore(checkup, may, acrRoles(host, request.Material.Config[fieldClientID], may), "Give the application AcrPull in place of the roles that it has.")
}

// acrRoles are the commands that leave an application the right to pull alone.
func acrRoles(host, client string, may []string) string {
	name, _, _ := strings.Cut(host, ".")
	scope := fmt.Sprintf("$(az acr show --name %s --query id --output tsv)", name)
	commands := []string{fmt.Sprintf("az role assignment create --assignee %s --role AcrPull --scope %s", client, scope)}
	for _, action := range may {
		role := map[string]string{"push": "AcrPush", "delete": "AcrDelete"}[action]
		commands = append(commands, fmt.Sprintf("az role assignment delete --assignee %s --role %s --scope %s", client, role, scope))
	}
	return strings.Join(commands, "\n")
}

// expiry tells when a certificate ends, or a secret where the directory lets the
// application read that.
func (a azure) expiry(ctx context.Context, m Material, host string, checkup *Checkup) {
	if isFederated(m) {
		checkup.Passed(AskExpiry, "There is no secret that could end: the application trusts this server's identity")
		return
	}
	if text := m.Secrets[fieldClientCertificate]; !text.IsEmpty() {
		chain, _, err := azidentity.ParseCertificates([]byte(text.Reveal()), nil)
		if err == nil && len(chain) > 0 {
			a.ends(chain[0].NotAfter, "certificate", "Make another, upload it to the application, and give it with `fairlead registry rotate NAME`.", checkup)
		}
		return
	}
	known, err := a.clientSecret(ctx, m, host)
	if err != nil || known.Ends.IsZero() {
		checkup.Unknown(AskExpiry, "Entra does not tell the application when its secret ends",
			"Give the day that the portal shows (--expires), to be warned before it, or let the application read that: Microsoft Graph's permission Application.Read.All.")
		return
	}
	checkup.Report().CreatedAt = known.Begin
	a.ends(known.Ends, "client secret", "Make another (`az ad app credential reset --id "+m.Config[fieldClientID]+" --append`), and give it with `fairlead registry rotate NAME`.", checkup)
}

func (a azure) ends(at time.Time, what, hint string, checkup *Checkup) {
	checkup.Report().ExpiresAt = at
	if at.Sub(a.exchange.now()) < endSoon {
		checkup.Warn(AskExpiry, "expires_soon", "The "+what+" ends "+at.Format(time.DateOnly), hint, "")
		return
	}
	checkup.Passed(AskExpiry, "The "+what+" ends "+at.Format(time.DateOnly))
}
