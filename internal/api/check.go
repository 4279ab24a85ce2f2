package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/wire"
)

// jsonLines is the type of a check that is followed: one JSON value a line.
const jsonLines = "application/x-ndjson"

// checkRequestMost bounds a request for a check, in bytes.
const checkRequestMost = 4 << 10

func describeCheck(op *huma.Operation, schemas huma.Registry) {
	takesJSON[wire.CheckRequest](op, schemas, false)
	answersJSON[wire.Credential](op, schemas)
	answers(op, jsonLines, &huma.Schema{
		Type: huma.TypeString,
		Description: "Asked for with `Accept: " + jsonLines + "`: a CheckEvent a line, each step as it is done, and at the end the credential, " +
			"or the problem that kept the check from being made.",
	})
}

// checkCredential asks the registry what a credential is good for.
func (d *door) checkCredential(w http.ResponseWriter, r *http.Request, v *visit) error {
	var request wire.CheckRequest
	if err := decode(w, r, checkRequestMost, &request); err != nil {
		return err
	}
	var ref image.Reference
	if request.Image != "" {
		var err error
		if ref, err = image.ParseReference(request.Image); err != nil {
			return err
		}
	}
	id := r.PathValue("credential")
	if !strings.Contains(r.Header.Get("Accept"), jsonLines) {
		credential, err := d.config.Registries.Check(r.Context(), v.actor, id, ref, nil)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, d.shownCredential(r.Context(), v, credential))
	}
	// Who may not is told before the first line.
	if _, err := d.config.Registries.Get(r.Context(), v.actor, id); err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonLines)
	w.Header().Set("X-Accel-Buffering", "no") // proxies that know it pass every line on at once
	w.WriteHeader(http.StatusOK)
	lines := &checkLines{w: w, control: http.NewResponseController(w)}
	credential, err := d.config.Registries.Check(r.Context(), v.actor, id, ref, func(step registry.CheckStep) {
		shown := checkStepOf(step)
		lines.send(wire.CheckEvent{Step: &shown})
	})
	if err != nil {
		p := d.problem(r.Context(), v, err)
		lines.send(wire.CheckEvent{Problem: &p.Problem})
		return nil
	}
	shown := d.shownCredential(r.Context(), v, credential)
	lines.send(wire.CheckEvent{Credential: &shown})
	return nil
}

// checkLines writes one JSON value a line, each at once.
type checkLines struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (l *checkLines) send(event wire.CheckEvent) {
	text, err := json.Marshal(event)
	if err != nil {
		return // texts and numbers always can be written
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(writeWait))
	_, _ = l.w.Write(append(text, '\n')) // who has gone is noticed by the request's context
	_ = l.control.Flush()
}

type rotateRequest struct {
	Credential string `path:"credential"`
	Body       wire.CredentialRotation
}

// rotateCredential puts a new secret in the place of the old one.
func (d *door) rotateCredential(ctx context.Context, v *visit, in *rotateRequest) (wire.Credential, error) {
	credential, err := d.config.Registries.Get(ctx, v.actor, in.Credential)
	if err != nil {
		return wire.Credential{}, err
	}
	rotation := registry.Rotation{Renew: in.Body.Renew, Back: in.Body.Back, SkipCheck: in.Body.Check != nil && !*in.Body.Check}
	if in.Body.ExpiresAt != nil {
		rotation.ExpiresAt = &in.Body.ExpiresAt.Time
	}
	if len(in.Body.Configuration) > 0 {
		material, err := d.material(in.Body.Configuration, credential.Kind)
		if err != nil {
			return wire.Credential{}, err
		}
		rotation.New = &material
	}
	credential, warnings, err := d.config.Registries.Rotate(ctx, v.actor, in.Credential, rotation, nil)
	if err != nil {
		return wire.Credential{}, err
	}
	shown := d.shownCredential(ctx, v, credential)
	shown.Warnings = warnings
	return shown, nil
}

// checkImage tries an image for a project as a worker would, up to its manifest.
func (d *door) checkImage(ctx context.Context, v *visit, in *struct{ Body wire.ImageCheckRequest }) (wire.ImageCheck, error) {
	project, err := d.config.Accounts.Project(ctx, v.actor, in.Body.Project)
	if err != nil {
		return wire.ImageCheck{}, err
	}
	ref, err := image.ParseReference(in.Body.Image)
	if err != nil {
		return wire.ImageCheck{}, err
	}
	checked, err := d.config.Broker.Check(ctx, broker.Request{Actor: v.actor, Project: project, Image: ref})
	if err != nil {
		return wire.ImageCheck{}, err
	}
	shown := wire.ImageCheck{
		Image: ref.String(), Digest: checked.Digest, Narrow: checked.Answer.Grant.Narrow,
		GrantMilliseconds: checked.Grant.Milliseconds(), ManifestMilliseconds: checked.Manifest.Milliseconds(),
	}
	with := "as anybody may, without a credential"
	if c := checked.Answer.Credential; c != nil {
		shown.Credential, shown.Type, shown.Pattern = c.Name, c.Kind, checked.Answer.Pattern.String()
		with = fmt.Sprintf("with the registry credential %s (%s, pattern %s)", c.Name, c.Kind, shown.Pattern)
	}
	if checked.Answer.Grant.Through {
		with += " through this server's cache, on which its secret stays,"
	}
	switch {
	case checked.Failure != nil:
		shown.Failure = &wire.Failure{Code: checked.Failure.Code, Message: checked.Failure.Sentence()}
		shown.Sentence = checked.Failure.Sentence()
	case checked.Answer.Grant.Role != nil:
		shown.Sentence = fmt.Sprintf("%s is pulled %s by a worker with a role of its own, which cannot be tried from here", ref, with)
	default:
		shown.Sentence = fmt.Sprintf("%s can be pulled %s: it is %s", ref, with, checked.Digest)
	}
	return shown, nil
}

func checkStepOf(step registry.CheckStep) wire.CheckStep {
	return wire.CheckStep{
		Question: step.Question, Result: string(step.Result), Code: step.Code, Sentence: step.Sentence, Hint: step.Hint,
		Policy: step.Policy, Milliseconds: step.Took.Milliseconds(),
	}
}

// checkOf is a credential's last check, unless it was of another secret.
func checkOf(credential registry.Credential) *wire.Check {
	check := credential.Check
	if check == nil || check.Version != credential.Version {
		return nil
	}
	shown := &wire.Check{
		At: wire.NewTime(check.At), Milliseconds: check.Took.Milliseconds(), Identity: check.Identity,
		Steps: each(check.Steps, checkStepOf), Repositories: check.Repositories, Listed: check.Listed,
		SecretExpiresAt: wire.NewTime(check.SecretExpiresAt), SecretCreatedAt: wire.NewTime(check.SecretCreatedAt),
	}
	if limit := check.RateLimit; limit != nil {
		shown.RateLimit = &wire.RateLimit{
			Limit: limit.Limit, Remaining: limit.Remaining, WindowSeconds: int64(limit.Window.Seconds()), Source: limit.Source,
		}
	}
	return shown
}

// shownCredential is a credential with what is held beside it.
func (d *door) shownCredential(ctx context.Context, v *visit, credential registry.Credential) wire.Credential {
	shown := d.credential(v, credential)
	held, err := d.config.Registries.Held(ctx, credential)
	if err == nil && len(held) > 0 {
		shown.HeldUntil = wire.NewTime(held[0].Until)
	}
	return shown
}
