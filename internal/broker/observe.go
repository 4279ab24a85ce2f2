package broker

import "context"

// Observer hears what the broker does, for those who count and trace it. It is
// called concurrently, and grants wait for it.
type Observer interface {
	// Granting is called when a grant is asked for. The broker goes on with the
	// context, and calls the function once.
	Granting(ctx context.Context) (context.Context, func(Outcome))

	// Exchanging is called before a credential of that kind, "" for none, is traded
	// with its registry; the function is called with the error that came of it.
	Exchanging(ctx context.Context, kind string) (context.Context, func(error))
}

// Outcome is what came of a request for a grant.
type Outcome struct {
	Kind string // of the credential; "": none covers the image

	Remembered bool // nobody had to be asked for it
	ForCache   bool // it is for the pull-through cache, or to pull through it
	Err        error
}

func outcome(request Request, answer Answer, err error) Outcome {
	o := Outcome{Remembered: answer.remembered, ForCache: request.Kept || answer.Grant.Through, Err: err}
	if answer.Credential != nil {
		o.Kind = answer.Credential.Kind
	}
	return o
}

// deaf hears nothing.
type deaf struct{}

func (deaf) Granting(ctx context.Context) (context.Context, func(Outcome)) {
	return ctx, func(Outcome) {}
}

func (deaf) Exchanging(ctx context.Context, _ string) (context.Context, func(error)) {
	return ctx, func(error) {}
}
