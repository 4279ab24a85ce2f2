package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func describeTake(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.LeaseRequest](op, registry, false)
	answersJSON[wire.Lease](op, registry)
	op.Responses["204"] = &huma.Response{Description: "Nothing came to be run"}
}

// takeLease gives the worker the next execution.
func (d *door) takeLease(w http.ResponseWriter, r *http.Request, v *visit) error {
	var request wire.LeaseRequest
	if err := decode(w, r, bodyMost, &request); err != nil {
		return err
	}
	e, ok, err := d.config.Dispatch.Take(r.Context(), v.actor, time.Duration(request.WaitSeconds)*time.Second)
	if err != nil {
		return err
	}
	if !ok {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := r.Context().Err(); err != nil { // the worker left while it was taken for it
		return d.config.Dispatch.Release(context.WithoutCancel(r.Context()), v.actor, e.Lease.ID)
	}
	project, err := d.config.Dispatch.Project(r.Context(), e)
	if err != nil {
		return err
	}
	job, err := jobOf(e, project)
	if err != nil {
		return err
	}
	secrets, err := d.config.Projects.SecretVariables(r.Context(), e.ProjectID, e.Work.SecretEnvironment)
	if err != nil {
		return err
	}
	job.Secrets = make(map[string]wire.OpenSecret, len(secrets))
	for name, value := range secrets {
		job.Secrets[name] = wire.OpenSecret{Text: value}
	}
	return writeJSON(w, http.StatusOK, wire.Lease{ID: e.Lease.ID, LifeSeconds: d.leaseLife(e), Execution: job})
}

// leaseLife is how long the lease lasts from now on, told as a duration since the
// worker's clock may be another one.
func (d *door) leaseLife(e execution.Execution) int {
	return seconds(e.Lease.ExpiresAt.Sub(d.config.Now()))
}

func jobOf(e execution.Execution, project account.Project) (wire.Job, error) {
	parameters, err := valuesOf(e.Work.Parameters)
	if err != nil {
		return wire.Job{}, err
	}
	return wire.Job{
		ID: e.ID, Counter: e.Counter, Attempt: e.Lease.Attempt, Project: wire.NamedID{ID: project.ID, Name: project.Name},
		Commit: e.Work.Commit, Package: e.Work.PackageIdentifier(), Step: e.Work.Step, Image: e.Work.Image, Commands: orEmpty(e.Work.Commands), Script: e.Work.Script,
		Environment: orEmptyMap(e.Work.Environment), Parameters: parameters, Inputs: each(e.Work.Inputs, jobInputOf),
		TimeLimitSeconds: e.Work.TimeLimit.Seconds(), MemoryBytes: e.Work.MemoryBytes, CPUs: e.Work.CPUs, ShmBytes: e.Work.ShmBytes, NoNetwork: e.Work.NoNetwork,
		NoOutputSeconds: e.Work.NoOutputTimeout.Seconds(), Devices: e.Work.Devices,
		Mounts: each(e.Work.Mounts, func(m execution.Mount) wire.Mount { return wire.Mount(m) }),
	}, nil
}

func jobInputOf(input execution.Input) wire.JobInput {
	return wire.JobInput{Name: input.Name, OnDemand: input.OnDemand, Files: each(input.Files, func(file execution.InputFile) wire.JobFile {
		return wire.JobFile{URL: file.URL, Path: file.Path, SHA256: file.SHA256, Size: file.Size}
	})}
}

type leaseKey struct {
	Lease string `path:"lease"`
}

func (d *door) renewLease(ctx context.Context, v *visit, in *leaseKey) (wire.LeaseState, error) {
	e, err := d.config.Dispatch.Renew(ctx, v.actor, in.Lease)
	if err != nil {
		return wire.LeaseState{}, err
	}
	return wire.LeaseState{LifeSeconds: d.leaseLife(e), Stop: e.Status == execution.Stopping}, nil
}

type stopQuery struct {
	Lease       string `path:"lease"`
	WaitSeconds int    `query:"wait_seconds" minimum:"0" maximum:"3600" doc:"How long to wait; at most 30 are waited"`
}

func (d *door) waitForStop(ctx context.Context, v *visit, in *stopQuery) (wire.LeaseState, error) {
	asked, err := d.config.Dispatch.StopAsked(ctx, v.actor, in.Lease, time.Duration(in.WaitSeconds)*time.Second)
	return wire.LeaseState{Stop: asked}, err
}

func describeAppend(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.EventBatch](op, registry, true)
}

// appendEvents stores a batch. It does not go through huma: a log of a million
// lines passes here.
func (d *door) appendEvents(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayWork(); err != nil {
		return err
	}
	var batch wire.EventBatch
	if err := decode(w, r, batchMost, &batch); err != nil {
		return err
	}
	if batch.Batch < 1 {
		return fault.InvalidField("batch", "invalid", "batches are numbered from 1")
	}
	lines, err := linesOf(batch.Events)
	if err != nil {
		return err
	}
	if err := d.config.Dispatch.Append(r.Context(), v.actor, r.PathValue("lease"), batch.Batch, lines); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func linesOf(events []wire.Event) ([]execution.Line, error) {
	lines := make([]execution.Line, len(events))
	for i, event := range events {
		stream, err := execution.ParseStream(event.Stream)
		if err != nil {
			return nil, err
		}
		if event.Time == nil {
			return nil, fault.InvalidField("events", "required", "line %d has no time", i+1)
		}
		lines[i] = execution.Line{Time: event.Time.Time, Stream: stream, Text: event.Message}
	}
	return lines, nil
}

type imageInput struct {
	Lease string `path:"lease"`
	Body  wire.LeaseImage
}

func (d *door) noteImage(ctx context.Context, v *visit, in *imageInput) error {
	return d.config.Dispatch.NoteImage(ctx, v.actor, in.Lease, in.Body.Digest, in.Body.PullReport)
}

func describeFinish(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.LeaseResult](op, registry, true)
}

func (d *door) finishLease(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayWork(); err != nil {
		return err
	}
	var ended wire.LeaseResult
	if err := decode(w, r, batchMost, &ended); err != nil {
		return err
	}
	lines, err := linesOf(ended.Events)
	if err != nil {
		return err
	}
	result := execution.Result{Status: execution.Status(ended.Status), ExitCode: ended.ExitCode}
	if ended.Failure != nil {
		result.Code, result.Message = ended.Failure.Code, ended.Failure.Message
	}
	if err := d.config.Dispatch.Finish(r.Context(), v.actor, r.PathValue("lease"), result, lines); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *door) releaseLease(ctx context.Context, v *visit, in *leaseKey) error {
	return d.config.Dispatch.Release(ctx, v.actor, in.Lease)
}

func describePackage(op *huma.Operation, _ huma.Registry) {
	answers(op, "application/gzip", bytesOf("The code as it was uploaded"))
}

func (d *door) leasePackage(w http.ResponseWriter, r *http.Request, v *visit) error {
	e, err := d.config.Dispatch.Held(r.Context(), v.actor, r.PathValue("lease"))
	if err != nil {
		return err
	}
	file, _, err := d.config.Packages.Open(r.Context(), e.Work.PackageIdentifier())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("ETag", `"`+strings.TrimPrefix(e.Work.PackageIdentifier(), "~")+`"`)
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}
