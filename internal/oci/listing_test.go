package oci_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAListIsFollowedPageByPageOnTheRegistryItselfAndNotForEver(t *testing.T) {
	var asked []string
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != registryHost || r.Header.Get("Authorization") == "" {
			t.Errorf("%s %s was asked", r.Host, r.URL)
		}
		asked = append(asked, r.URL.RequestURI())
		w.Header().Set("Link", fmt.Sprintf(`<https://%s/elsewhere?last=n%d>; rel="next"`, authHost, len(asked)))
		_, _ = fmt.Fprintf(w, `{"repositories":["n%d","",%q]}`, len(asked), strings.Repeat("x", 600))
	})
	got, err := f.client().Repositories(t.Context(), oci.CataloguePath, oci.Bearer(secret.New("token")))
	want := oci.Listing{Names: []string{"n1", "n2", "n3", "n4", "n5"}, Pages: 5, More: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, listing (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"/v2/_catalog?n=1000", "/v2/_catalog?last=n1", "/v2/_catalog?last=n2", "/v2/_catalog?last=n3", "/v2/_catalog?last=n4"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestOneTagIsEnoughToKnowThatARepositoryCanBeRead(t *testing.T) {
	var asked atomic.Int32
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Link", `</v2/acme/train/tags/list?n=1&last=v1>; rel="next"`)
		_, _ = w.Write([]byte(`{"name":"acme/train","tags":["v1","v2"]}`))
	})
	got, err := f.client().Tags(t.Context(), "acme/train", 1, oci.Anonymous)
	want := oci.Listing{Names: []string{"v1"}, Pages: 1, More: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || asked.Load() != 1 {
		t.Errorf("%v after %d requests, listing (-want +got):\n%s", err, asked.Load(), diff)
	}
}

func TestARegistryThatFindsTheNumberTooLargeIsAskedForItsOwn(t *testing.T) {
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("n") {
			answer(http.StatusBadRequest, `{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`)(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"repositories":["acme/train"]}`))
	})
	got, err := f.client().Repositories(t.Context(), oci.CataloguePath, oci.Anonymous)
	if diff := cmp.Diff(oci.Listing{Names: []string{"acme/train"}, Pages: 2}, got); diff != "" || err != nil {
		t.Errorf("%v, listing (-want +got):\n%s", err, diff)
	}
}

func TestAListThatIsNoneIsAnErrorAndNeverEmpty(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"refused":    answer(http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED"}]}`),
		"no list":    answer(http.StatusNotFound, "404 page not found"),
		"a page":     answer(http.StatusOK, "<html>", "Content-Type", "text/html"),
		"bad":        answer(http.StatusBadRequest, ""),
		"no JSON":    answer(http.StatusOK, "{"),
		"other JSON": answer(http.StatusOK, `["acme/train"]`),
	} {
		f := newFarSide(t, handler)
		if got, err := f.client().Repositories(t.Context(), oci.CataloguePath, oci.Anonymous); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatIsTriedShowsARightByHowItIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		handler      http.HandlerFunc
		push, remove oci.May
	}{
		"not known":         {answer(http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED"}]}`), oci.MayNot, oci.MayNot},
		"denied":            {answer(http.StatusForbidden, `{"errors":[{"status":403,"message":"no"}]}`), oci.MayNot, oci.MayNot},
		"denied with 400":   {answer(http.StatusBadRequest, `{"errors":[{"code":"DENIED"}]}`), oci.MayNot, oci.MayNot},
		"a mirror":          {answer(http.StatusMethodNotAllowed, `{"errors":[{"code":"UNSUPPORTED"}]}`), oci.MayNot, oci.MayNot},
		"no manifest":       {answer(http.StatusBadRequest, `{"errors":[{"code":"MANIFEST_INVALID"}]}`), oci.MaySo, oci.MayUnsaid},
		"another digest":    {answer(http.StatusBadRequest, `{"errors":[{"code":"DIGEST_INVALID"}]}`), oci.MaySo, oci.MayUnsaid},
		"no such manifest":  {answer(http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), oci.MayUnsaid, oci.MaySo},
		"taken":             {answer(http.StatusAccepted, ""), oci.MaySo, oci.MaySo},
		"no such place":     {answer(http.StatusNotFound, "404 page not found"), oci.MayUnsaid, oci.MayUnsaid},
		"down":              {answer(http.StatusBadGateway, ""), oci.MayUnsaid, oci.MayUnsaid},
		"another complaint": {answer(http.StatusBadRequest, "bad request"), oci.MayUnsaid, oci.MayUnsaid},
	} {
		f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
			if want := "/v2/acme/train/manifests/sha256:" + strings.Repeat("0", 64); r.URL.Path != want {
				t.Errorf("%s %s was asked", r.Method, r.URL.Path)
			}
			test.handler(w, r)
		})
		push, err := f.client().TryPush(t.Context(), "acme/train", oci.Anonymous)
		if err != nil || push != test.push {
			t.Errorf("%s: push %s, %v, want %s", name, push, err, test.push)
		}
		remove, err := f.client().TryDelete(t.Context(), "acme/train", oci.Anonymous)
		if err != nil || remove != test.remove {
			t.Errorf("%s: delete %s, %v, want %s", name, remove, err, test.remove)
		}
	}
}

func TestATokenIsAskedForThePullRightUnlessOthersAreNamed(t *testing.T) {
	for want, request := range map[string]oci.TokenRequest{
		"repository:acme/train:pull": {Repository: "acme/train"},
		"":                           {Repository: "acme/train", Scopes: []string{}},
		"registry:catalog:*":         {Scopes: []string{oci.CatalogueScope}},
		"repository:a:pull,push repository:b:pull": {Scopes: []string{"repository:a:pull,push", "repository:b:pull"}},
	} {
		f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
			if got := strings.Join(r.URL.Query()["scope"], " "); got != want {
				t.Errorf("scope %q, want %q", got, want)
			}
			_, _ = w.Write([]byte(`{"token":"t"}`))
		})
		request.Challenge = oci.Challenge{Scheme: oci.SchemeBearer, Realm: "https://" + registryHost + "/token"}
		if _, err := f.route().FetchToken(t.Context(), request); err != nil {
			t.Error(err)
		}
	}
}
