package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// nearEnd is how long before a grant's end a new one is asked for.
const nearEnd = 10 * time.Second

// pullImage gets the execution's image onto this machine. It asks the registry
// with this execution's own grant, also for an image that is here already. Of an
// image that did not come there is the report.
func (r *run) pullImage(ctx context.Context) (pulled pull.Image, err error) {
	pulled.Report.Unfinished = true
	if observer := r.worker.config.Observer; observer != nil {
		var done func(time.Time, wire.PullReport, error)
		ctx, done = observer.Pulling(ctx, r.job.ID)
		defer func() { done(pulled.Report.Begin, reportOf(pulled.Report), err) }()
	}
	ref, err := image.ParseReference(r.job.Image)
	if err != nil {
		return pulled, err
	}
	r.journal.status("Pulling image: " + ref.String())
	grants := &grants{run: r, ref: ref}
	asking := pull.Span{Begin: time.Now()}
	defer func() {
		pulled.Report.BeganWith(asking)
		r.tellPull(pulled.Report)
	}()
	first, err := grants.ask(ctx, wire.GrantRequest{Lease: r.lease.ID})
	asking.End = time.Now()
	if err != nil {
		return pulled, err
	}
	r.journal.status(credentialSentence(first))
	ways, err := r.ways(first, grants)
	if err != nil {
		return pulled, err
	}
	var known digest.Digest
	progress := progressLines{journal: r.journal, told: make(map[string]told)}
	return r.pullBy(ctx, ways, pull.Request{
		Image: ref,
		Resolved: func(d digest.Digest) {
			if d != known { // a second way says it again
				known = d
				r.journal.status("Image digest: " + d.String())
			}
		},
		Progress: progress.tell,
	})
}

// tellPull writes what a pull's time went on into the log. Of a pull that failed
// at once there is nothing to say but why.
func (r *run) tellPull(report pull.Report) {
	if !report.Unfinished || report.Fetched > 0 || report.Slow() != "" {
		r.journal.status(report.Sentence())
	}
	if limit := report.LimitSentence(); limit != "" {
		r.journal.status(limit)
	}
}

// noteImage tells the server which image is run, none if it did not come, and how
// it was pulled.
func (r *run) noteImage(ctx context.Context, pulled pull.Image) error {
	report, err := json.Marshal(reportOf(pulled.Report))
	if err != nil {
		return fmt.Errorf("writing the pull report: %w", err)
	}
	return persist(ctx, func() error {
		return r.worker.config.Client.NoteImage(ctx, r.lease.ID, wire.LeaseImage{Digest: pulled.Digest.String(), PullReport: report})
	})
}

// credentialSentence says which credential is used, and which others would have
// matched.
func credentialSentence(grant wire.Grant) string {
	if grant.Credential == "" {
		return "Registry credential: none covers this image, so it is pulled as anybody may"
	}
	text := fmt.Sprintf("Registry credential: %s (%s, pattern %s)", grant.Credential, grant.Kind, grant.Pattern)
	if grant.HeldVersion > 0 {
		text += "; its new secret is not accepted yet, so the one before is used while it is held"
	}
	if grant.Role != nil {
		text += "; with this worker's own role"
	}
	if grant.Through != nil {
		text += "; its secret stays on the server, so it is pulled through a cache"
	}
	if len(grant.Others) > 0 {
		text += "; not tried, though they cover it too: " + strings.Join(grant.Others, ", ")
	}
	return text
}

// grants keeps the grant of one pull fresh.
type grants struct {
	run *run
	ref image.Reference

	mu      sync.Mutex
	current wire.Grant
}

func (g *grants) ask(ctx context.Context, request wire.GrantRequest) (grant wire.Grant, err error) {
	// A registry that is down is the registry's, and told at once.
	err = persistWhile(ctx, func() error {
		grant, err = g.run.worker.config.Client.PullGrant(ctx, request)
		return err
	}, client.IsUnreachable)
	if err == nil {
		grant, err = g.run.worker.withRole(ctx, grant, g.ref)
	}
	if err == nil {
		g.current = grant
	}
	return grant, err
}

// authorize is the registry's authorization of this moment: a new grant is asked for when
// the registry refused the last one, or its end is near.
func (g *grants) authorize(ctx context.Context, refused bool) (oci.Authorization, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	request := wire.GrantRequest{Lease: g.run.lease.ID}
	if refused {
		request.Refused = g.current.IssuedAt
	}
	if refused || time.Until(g.current.ExpiresAt.Or()) < nearEnd {
		if _, err := g.ask(ctx, request); err != nil {
			return oci.Authorization{}, err
		}
	}
	if g.current.Through != nil {
		return oci.Authorization{}, fault.New(fault.Unavailable, "way_changed", "%s may be pulled through the cache alone since a moment ago, and was begun to be pulled directly", g.ref).
			WithHint("Run it again.")
	}
	return authorization(g.current), nil
}

// showToken shows this worker's own token to a cache, whatever grants are like. Of a
// cache that does not take it the server is asked, which can say why.
func (g *grants) showToken(ctx context.Context, refused bool) (oci.Authorization, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if refused {
		if _, err := g.ask(ctx, wire.GrantRequest{Lease: g.run.lease.ID}); err != nil {
			return oci.Authorization{}, err
		}
	}
	return oci.Basic(g.run.lease.ID, g.run.worker.config.Cache.Token), nil
}

func authorization(grant wire.Grant) oci.Authorization {
	text := secret.New(grant.Secret.Reveal())
	switch oci.Scheme(grant.Scheme) {
	case oci.SchemeBearer:
		return oci.Bearer(text)
	case oci.SchemeBasic:
		return oci.Basic(grant.User, text)
	default:
		return oci.Anonymous
	}
}

// progressLines writes how far the layers are: whenever one enters a phase, and
// every twentieth part of it.
type progressLines struct {
	journal *journal
	told    map[string]told
}

type told struct {
	phase pull.Phase
	step  int64
}

const progressSteps = 20

func (p progressLines) tell(progress pull.Progress) {
	for _, layer := range progress.Layers {
		if layer.Phase == pull.Exists || layer.Phase == pull.Waiting {
			continue
		}
		now := told{phase: layer.Phase}
		if layer.Total > 0 {
			now.step = layer.Done * progressSteps / layer.Total
		}
		if p.told[layer.Short()] == now {
			continue
		}
		p.told[layer.Short()] = now
		p.journal.status(wire.LayerProgress{
			Layer: layer.Short(), Phase: string(layer.Phase), Done: layer.Done, Total: layer.Total,
		}.String())
	}
}
