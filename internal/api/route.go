package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// group is a part of the door: the routes that need a token, or those that need
// none.
type group struct {
	*door
	token bool
}

// answer is a body on its way out.
type answer[O any] struct{ Body O }

// get, post, put and patch lay a route that answers 200 with what do returns.
func get[I, O any](g group, path, summary string, do func(context.Context, *visit, *I) (O, error)) {
	lay(g, operation(g, http.MethodGet, path, summary, http.StatusOK), do)
}

func post[I, O any](g group, path, summary string, do func(context.Context, *visit, *I) (O, error)) {
	lay(g, operation(g, http.MethodPost, path, summary, http.StatusOK), do)
}

func put[I, O any](g group, path, summary string, do func(context.Context, *visit, *I) (O, error)) {
	lay(g, operation(g, http.MethodPut, path, summary, http.StatusOK), do)
}

func patch[I, O any](g group, path, summary string, do func(context.Context, *visit, *I) (O, error)) {
	lay(g, operation(g, http.MethodPatch, path, summary, http.StatusOK), do)
}

// create lays a route that answers 201 with what do made.
func create[I, O any](g group, path, summary string, do func(context.Context, *visit, *I) (O, error)) {
	lay(g, operation(g, http.MethodPost, path, summary, http.StatusCreated), do)
}

// act and remove lay a route that answers 204.
func act[I any](g group, path, summary string, do func(context.Context, *visit, *I) error) {
	layEmpty(g, operation(g, http.MethodPost, path, summary, http.StatusNoContent), do)
}

func remove[I any](g group, path, summary string, do func(context.Context, *visit, *I) error) {
	layEmpty(g, operation(g, http.MethodDelete, path, summary, http.StatusNoContent), do)
}

func lay[I, O any](g group, op huma.Operation, do func(context.Context, *visit, *I) (O, error)) {
	g.enter(&op, newForm(reflect.TypeFor[I]()))
	huma.Register(g.huma, op, func(ctx context.Context, in *I) (*answer[O], error) {
		v := visitOf(ctx)
		out, err := do(ctx, v, in)
		if err != nil {
			return nil, g.problem(ctx, v, err)
		}
		return &answer[O]{Body: out}, nil
	})
}

func layEmpty[I any](g group, op huma.Operation, do func(context.Context, *visit, *I) error) {
	g.enter(&op, newForm(reflect.TypeFor[I]()))
	huma.Register(g.huma, op, func(ctx context.Context, in *I) (*struct{}, error) {
		v := visitOf(ctx)
		if err := do(ctx, v, in); err != nil {
			return nil, g.problem(ctx, v, err)
		}
		return nil, nil
	})
}

// enter puts in front of huma what comes before a request is understood: who
// asks, and a body of one type.
func (g group) enter(op *huma.Operation, body form) {
	op.BodyReadTimeout = -1 // the body is read before huma sees it
	op.MaxBodyBytes = -1
	if body != nil {
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{jsonType: {}, formType: {}}}
	}
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		v := visitOf(r.Context())
		err := g.admit(r, v)
		if err == nil && body != nil {
			err = body.normalise(w, r)
		}
		if err != nil {
			g.fail(w, r, v, err)
			return
		}
		next(ctx)
	}}
}

// plain lays a route whose request or answer is too large, too long or too
// frequent to go through huma. It is documented like the others.
func plain(g group, method, path, summary string, status int, describe func(*huma.Operation, huma.Registry), do func(http.ResponseWriter, *http.Request, *visit) error) {
	op := operation(g, method, path, summary, status)
	registry := g.huma.OpenAPI().Components.Schemas
	for _, name := range pathParameters(path) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	op.Responses = map[string]*huma.Response{
		strconv.Itoa(status): {Description: http.StatusText(status)},
		"default": {Description: "Error", Content: map[string]*huma.MediaType{
			(*problem)(nil).ContentType(""): {Schema: registry.Schema(reflect.TypeFor[problem](), true, "")},
		}},
	}
	describe(&op, registry)
	g.huma.OpenAPI().AddOperation(&op)
	g.mux.HandleFunc(exact(method+" "+op.Path), func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r.Context())
		err := g.admit(r, v)
		if err == nil {
			err = do(w, r, v)
		}
		if err != nil {
			g.fail(w, r, v, err)
		}
	})
}

// operation is what is the same for every route.
func operation(g group, method, path, summary string, status int) huma.Operation {
	op := huma.Operation{
		OperationID: operationID(method, path), Method: method, Path: wire.Base + path, Summary: summary,
		Tags: []string{path[:strings.IndexByte(path, '/')]}, DefaultStatus: status,
	}
	if g.token {
		op.Security = []map[string][]string{{tokenScheme: {}}}
	}
	return op
}

// operationID is the method and the path in one word.
func operationID(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}_-", r) })
	return strings.ToLower(method) + "-" + strings.Join(words, "-")
}

func pathParameters(path string) []string {
	var names []string
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// admit finds out who asks, where that matters. Both words are taken in front of
// the token: Bearer and, as existing clients send it, Token.
func (g group) admit(r *http.Request, v *visit) error {
	if !g.token {
		v.actor = account.Actor{Remote: v.remote}
		return nil
	}
	var text string
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Token") || strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(rest)
	}
	actor, err := g.config.Accounts.Authenticate(r.Context(), secret.New(text), v.remote)
	v.actor = actor
	return err
}
