package broker

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Checked is what came of trying an image.
type Checked struct {
	Answer Answer // without a grant where there is none

	// Digest is what the image is now. It is empty where it cannot be pulled,
	// and where only a worker can ask, with a role of its own.
	Digest string

	// Failure is why the image cannot be pulled; nil: it can.
	Failure *fault.Error

	// How long the grant and the manifest took.
	Grant, Manifest time.Duration
}

// Check tries to pull the request's image as a worker would, up to its
// manifest. The grant is real and leaves its audit row; whoever asks does not
// get it. What the registry refuses is no error but in the answer.
func (b *Broker) Check(ctx context.Context, request Request) (Checked, error) {
	begin := b.config.Now()
	answer, err := b.open(ctx, request)
	checked := Checked{Answer: answer, Grant: b.config.Now().Sub(begin)}
	if ctx.Err() != nil {
		return Checked{}, ctx.Err()
	}
	if err != nil {
		checked.Failure = fault.From(err)
		return checked, nil
	}
	if answer.Grant.Role != nil {
		return checked, nil
	}
	begin = b.config.Now()
	checked.Digest, err = b.config.Issuer.Resolve(ctx, request.Image, answer.Grant)
	if answer.Grant.Through {
		checked.Answer.Grant = answer.Grant.withoutSecret()
	}
	checked.Manifest = b.config.Now().Sub(begin)
	if ctx.Err() != nil {
		return Checked{}, ctx.Err()
	}
	if err != nil {
		selection, selectErr := b.config.Selector.Select(ctx, request.Project, request.Image)
		if selectErr != nil {
			return Checked{}, selectErr
		}
		checked.Failure = fault.From(b.diagnose(ctx, request, selection, err))
	}
	return checked, nil
}
