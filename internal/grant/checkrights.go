package grant

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/oci"
)

// rights tells whether the secret may do more than read, of the few first
// repositories that it can read.
func (r *registryCheck) rights(ctx context.Context, readable []string) {
	if len(readable) == 0 {
		r.checkup.Unknown(AskRights, "There is no repository to ask for more than reading on", "Name one in a pattern, or check with an image: `fairlead registry check NAME --image IMAGE`.")
		return
	}
	told := false
	for i, name := range readable[:min(len(readable), probesMost)] {
		if i > 0 && r.left < requestsRights+requestsImage {
			break
		}
		may, says := r.mayMore(ctx, name)
		if len(may) > 0 {
			warnMayMore(r.checkup, may, r.advice(r, readable), "Give Fairlead a secret that may only read.")
			return
		}
		if told = told || says; !says {
			break
		}
	}
	if told {
		r.checkup.Passed(AskRights, "It may read and do no more")
		return
	}
	r.checkup.Unknown(AskRights, r.host+" does not tell whether the secret may do more than read", "Look at its scopes or rights at the registry.")
}

// scopeMore is the scope of every right to a repository.
func scopeMore(name string) string { return "repository:" + name + ":pull,push,delete" }

// mayMore asks for more than reading in one repository, and reports which of it
// there would be, and whether the answer tells. A token that says what it gives
// is not used; one that does not is tried on what changes nothing.
func (r *registryCheck) mayMore(ctx context.Context, name string) (may []string, says bool) {
	authorization, token, err := r.authorize(ctx, r.who, scopeMore(name))
	if isRefusal(err) {
		return r.refusedMore(ctx, name)
	}
	switch {
	case err != nil:
		return nil, false
	case token.SaysAccess:
		actions := token.Actions(name)
		for _, action := range []string{"push", "delete"} {
			if slices.Contains(actions, action) || slices.Contains(actions, "*") {
				may = append(may, action)
			}
		}
		return may, true
	}
	return r.tryMore(ctx, name, authorization)
}

// tryMore tries what changes nothing.
func (r *registryCheck) tryMore(ctx context.Context, name string, authorization oci.Authorization) (may []string, says bool) {
	r.left -= 2
	push, err := r.client.TryPush(ctx, name, authorization)
	if err != nil {
		return nil, false
	}
	remove, err := r.client.TryDelete(ctx, name, authorization)
	if err != nil {
		remove = oci.MayUnsaid
	}
	if push == oci.MaySo {
		may = append(may, "push")
		if remove == oci.MaySo {
			may = append(may, "delete")
		}
	}
	// Who may not push is told that there is no such manifest by a registry that
	// looks before it decides, and by one that lets them delete: both are rare.
	return may, push == oci.MayNot && remove == oci.MayNot
}

// refusedMore is for a token service that refuses everything where it would not
// give all that is asked for: it is asked for each right by itself.
func (r *registryCheck) refusedMore(ctx context.Context, name string) (may []string, says bool) {
	says = true
	for _, action := range []string{"push", "delete"} {
		authorization, token, err := r.authorize(ctx, r.who, oci.PullScope(name)+","+action)
		switch {
		case isRefusal(err):
		case err != nil:
			says = false
		case !token.SaysAccess:
			return r.tryMore(ctx, name, authorization)
		case slices.Contains(token.Actions(name), action):
			may = append(may, action)
		}
	}
	return may, says
}

// isRefusal reports whether a service said no to what was asked for.
func isRefusal(err error) bool {
	answer, ok := errors.AsType[*oci.Error](err)
	return ok && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden)
}

// quoted is a text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
