package grant

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Hosts of Google's APIs that a check asks.
const (
	artifactAPI = "artifactregistry.googleapis.com"
	metadataAPI = "www.googleapis.com"
)

// Check asks Google what the service account is good for.
func (g gcp) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	email := request.Material.Config[fieldClientEmail]
	access, err := g.access(ctx, request.Material, request.Image)
	if err != nil {
		checkup.Failed(AskSecret, err)
		return
	}
	checkup.Report().Identity = email
	checkup.Passed(AskSecret, "Google accepts the key of "+email)
	checkup.Passed(AskNarrow, "Each grant is asked for one repository, and for pulling alone")
	transport, err := g.exchange.ways.of(request.Material)
	if err != nil {
		checkup.Failed(AskRepositories, err)
		return
	}
	api := googleAPI{http: &http.Client{Transport: transport.Services(artifactAPI, metadataAPI), CheckRedirect: noRedirects}, access: access}
	repositories := artifactRepositories(request)
	g.repositories(ctx, api, request, repositories, checkup)
	g.rights(ctx, api, repositories, email, checkup)
	g.age(ctx, api, request.Material, checkup)
	checkImage(ctx, g, request, g.exchange, checkup)
}

// artifactRepository is a repository of Artifact Registry, which holds any number
// of images.
type artifactRepository struct{ host, project, location, name string }

func (r artifactRepository) resource() string {
	return "projects/" + r.project + "/locations/" + r.location + "/repositories/" + r.name
}

// prefix is what the names of its images begin with.
func (r artifactRepository) prefix() string {
	if _, legacy := legacyLocations[r.host]; legacy {
		return r.project
	}
	return r.project + "/" + r.name
}

// legacyLocations are where the repositories of Container Registry's hosts are.
// https://cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
var legacyLocations = map[string]string{"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}

// artifactRepositories are those that patterns or the image name, at most a few.
func artifactRepositories(request CheckRequest) []artifactRepository {
	var all []artifactRepository
	add := func(host, path string) {
		parts := strings.Split(path, "/")
		if !isGoogleHost(host) || strings.ContainsAny(parts[0], "*?") || len(all) >= probesMost {
			return
		}
		r := artifactRepository{host: host, project: parts[0]}
		location, modern := strings.CutSuffix(host, "-docker.pkg.dev")
		switch {
		case modern && len(parts) > 1 && !strings.ContainsAny(parts[1], "*?"):
			r.location, r.name = location, parts[1]
		case !modern && legacyLocations[host] != "":
			r.location, r.name = legacyLocations[host], host
		default:
			return
		}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	if !request.Image.IsZero() {
		add(request.Image.Host(), request.Image.Repository())
	}
	for _, pattern := range request.Patterns {
		add(pattern.Host(), pattern.Path())
	}
	return all
}

// googleAPI asks Google's APIs as the service account.
type googleAPI struct {
	http   *http.Client
	access googleAccess
}

// call sends a request and reads the answer's JSON into out.
func (a googleAPI) call(ctx context.Context, method, address string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("making a request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(address, "https://"+artifactAPI+"/") { // the other is public
		oci.Bearer(a.access.token).Apply(request)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return oci.RedactError(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	const most = 4 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return googleAnswer(response, text, a.access.token)
	}
	return json.Unmarshal(text, out)
}

// repositories lists the images of the repositories that patterns name.
func (g gcp) repositories(ctx context.Context, api googleAPI, request CheckRequest, repositories []artifactRepository, checkup *Checkup) {
	if len(repositories) == 0 {
		checkup.Unknown(AskRepositories, "No pattern names a repository in full, so none was listed", "Write patterns as LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/*.")
		return
	}
	var found []string
	for _, r := range repositories {
		var packages struct {
			Packages []struct {
				Name string `json:"name"`
			} `json:"packages"`
		}
		err := api.call(ctx, http.MethodGet, "https://"+artifactAPI+"/v1/"+r.resource()+"/packages?pageSize=1000", nil, &packages)
		if err != nil {
			f := diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Google, Image: request.Image, User: api.access.email})
			checkup.Unknown(AskRepositories, "The images of "+r.resource()+" could not be listed: "+f.Message, f.Hint)
			return
		}
		for _, p := range packages.Packages {
			name, err := url.PathUnescape(p.Name[strings.LastIndexByte(p.Name, '/')+1:])
			if err == nil && coveredBy(request.Patterns, r.host, r.prefix()+"/"+name) {
				found = append(found, r.host+"/"+r.prefix()+"/"+name)
			}
		}
	}
	slices.Sort(found)
	report := checkup.Report()
	report.Listed = true
	report.Repositories = found[:min(len(found), MostRepositories)]
	checkup.Passed(AskRepositories, fmt.Sprintf("It lists %s that a pattern covers", counted(len(found), "image", "images")))
}

// What is tried: https://cloud.google.com/artifact-registry/docs/access-control
const (
	permissionRead   = "artifactregistry.repositories.downloadArtifacts"
	permissionPush   = "artifactregistry.repositories.uploadArtifacts"
	permissionDelete = "artifactregistry.repositories.deleteArtifacts"
)

// rights asks Google itself which permissions the account has.
func (g gcp) rights(ctx context.Context, api googleAPI, repositories []artifactRepository, email string, checkup *Checkup) {
	if len(repositories) == 0 {
		checkup.Unknown(AskRights, "There is no repository to ask about", "")
		return
	}
	for _, r := range repositories {
		var held struct {
			Permissions []string `json:"permissions"`
		}
		err := api.call(ctx, http.MethodPost, "https://"+artifactAPI+"/v1/"+r.resource()+":testIamPermissions",
			map[string][]string{"permissions": {permissionRead, permissionPush, permissionDelete}}, &held)
		if err != nil {
			f := diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Google, Image: image.Reference{}, User: email})
			checkup.Unknown(AskRights, "Google did not tell what the account may do with "+r.resource()+": "+f.Message, f.Hint)
			return
		}
		reader := fmt.Sprintf("gcloud artifacts repositories add-iam-policy-binding %s --project=%s --location=%s \\\n  --member=serviceAccount:%s --role=roles/artifactregistry.reader", r.name, r.project, r.location, email)
		if !slices.Contains(held.Permissions, permissionRead) {
			checkup.Step(Step{
				Question: AskRights, Result: Failed, Code: "access_denied",
				Sentence: email + " may not read " + r.resource() + ", or it does not exist", Hint: "Give it the role Artifact Registry Reader.", Policy: reader,
			})
			return
		}
		var may []string
		if slices.Contains(held.Permissions, permissionPush) {
			may = append(may, "push")
		}
		if slices.Contains(held.Permissions, permissionDelete) {
			may = append(may, "delete")
		}
		if len(may) > 0 {
			writer := strings.NewReplacer("add-iam", "remove-iam", "artifactregistry.reader", "artifactregistry.writer").Replace(reader)
			warnMayMore(checkup, may, reader+"\n"+writer, "Give the account the role Artifact Registry Reader in place of the one that it has, there or on the project.")
			return
		}
	}
	checkup.Passed(AskRights, "It may read and do no more")
}

// neverEnds is the year in which Google's certificates for keys end that have no
// end of their own.
const neverEnds = 9999

// age reads the key's certificate, which Google shows everybody.
func (g gcp) age(ctx context.Context, api googleAPI, m Material, checkup *Checkup) {
	var certificates map[string]string
	err := api.call(ctx, http.MethodGet, "https://"+metadataAPI+"/service_accounts/v1/metadata/x509/"+url.PathEscape(m.Config[fieldClientEmail]), nil, &certificates)
	block, _ := pem.Decode([]byte(certificates[m.Config[fieldPrivateKeyID]]))
	if err != nil || block == nil {
		checkup.Unknown(AskExpiry, "Google did not tell how old the key is", "Give the day with --expires, to be warned before it.")
		return
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		checkup.Unknown(AskExpiry, "Google did not tell how old the key is", "")
		return
	}
	report, now := checkup.Report(), g.exchange.now()
	report.CreatedAt = certificate.NotBefore
	if certificate.NotAfter.Year() < neverEnds {
		report.ExpiresAt = certificate.NotAfter
		if certificate.NotAfter.Sub(now) < endSoon {
			checkup.Warn(AskExpiry, "expires_soon", "The key ends "+certificate.NotAfter.Format("2006-01-02"), "Make another and give it with `fairlead registry rotate NAME`.", "")
			return
		}
		checkup.Passed(AskExpiry, "The key ends "+certificate.NotAfter.Format("2006-01-02"))
		return
	}
	tellAge(checkup, now, certificate.NotBefore, "key", "Make another and give it with `fairlead registry rotate NAME`, then delete this one.")
}
