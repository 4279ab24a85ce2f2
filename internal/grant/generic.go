package grant

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
)

// generic is any registry with Docker's standard authentication.
type generic struct{ exchange exchange }

const (
	nameGeneric        = "generic"
	fieldUsername      = "username"
	fieldPassword      = "password"
	fieldBasicOnWorker = "basic_on_worker"
)

func (generic) Description() Description {
	return Description{
		Name:        nameGeneric,
		Title:       "Any registry",
		Help:        "A user name and a password or token, for every registry with standard Docker authentication: GHCR, GitLab, Harbor, Quay, Nexus, NGC, self-hosted.",
		LegacyNames: []string{legacyDocker},
		Fields: []Field{
			{
				Name: fieldUsername, Title: "User name", Required: true,
				Help:    "The user, deploy token or robot account.",
				Example: "robot$acme+fairlead",
			},
			{
				Name: fieldPassword, Title: "Password or token", Secret: true, Required: true,
				Help: "Its password or, better, a token that may only read.",
			},
			{
				Name: fieldBasicOnWorker, Title: "Hand the password to the worker", Default: "false", Choices: []string{"false", "true"},
				Help: "Only for a registry without a token service: the worker that pulls then gets the password itself.",
			},
		},
		Patterns: []string{"ghcr.io/acme/*", "registry.example.org/*"},
	}
}

func (g generic) Normalise(in Material) (Material, []string, error) {
	if choice, given := in.Config[fieldBasicOnWorker]; given {
		in = in.with(fieldBasicOnWorker, strings.ToLower(choice))
	}
	out, err := normalise(g.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	if err := checkUser(out.Config[fieldUsername], fieldUsername); err != nil {
		return Material{}, nil, err
	}
	var warnings []string
	if out.Config[fieldBasicOnWorker] == "true" {
		warnings = append(warnings, "Where the registry has no token service, every worker that pulls with this credential gets the password itself.")
	}
	return out, warnings, nil
}

func (g generic) Issue(ctx context.Context, request Request) (Grant, error) {
	if request.Image.IsZero() {
		return Grant{}, fault.InvalidField("image", "image_missing", "a grant is for one image")
	}
	return g.exchange.issue(ctx, request, g.login(request.Material))
}

// Check asks what the credential is good for.
func (g generic) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	loginCheck{
		exchange: g.exchange, kind: g, service: diagnosis.TokenService, request: request, who: g.login(request.Material),
		secret: request.Material.Secrets[fieldPassword], advice: genericAdvice, checkup: checkup,
	}.run(ctx)
}

func (generic) login(material Material) login {
	return login{
		user:          material.Config[fieldUsername],
		secret:        material.Secrets[fieldPassword],
		basicOnWorker: material.Config[fieldBasicOnWorker] == "true",
		basicHint:     "Set the credential's option " + fieldBasicOnWorker + " if workers may have the password, or put a token service in front of the registry.",
	}
}
