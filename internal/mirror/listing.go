package mirror

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	specs "github.com/opencontainers/distribution-spec/specs-go/v1"
	imagespecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
)

// pageMost is how many entries of a list are given at once: what distribution
// gives.
const pageMost = 1000

// cursorMost bounds where a list goes on, in bytes; a tag has at most 128.
const cursorMost = 1024

// Parameters of lists.
const (
	paramMost     = "n"
	paramLast     = "last"
	paramNext     = "next" // ours: the specification leaves to registries how a list of referrers goes on
	paramArtifact = "artifactType"
)

// tags serves a page of a repository's tags.
func (d *door) tags(w *recorder, r *http.Request, v *visit) error {
	query := r.URL.Query()
	page, none, err := readPage(query)
	if err != nil {
		return err
	}
	found, err := d.config.Backend.Tags(r.Context(), v.client, v.target.ref, page)
	if err != nil {
		return err
	}
	if none {
		found = Tags{Stale: found.Stale}
	}
	if count := len(found.Names); found.More && count > 0 {
		query.Set(paramLast, found.Names[count-1])
		link(w, r.URL, query)
	}
	warn(w, found.Stale)
	list := specs.TagList{Name: v.target.name, Tags: append([]string{}, found.Names...)}
	return writeJSON(w, "application/json", list)
}

// readPage reads which page of a list is asked for. None is a page of no
// entries, which a client may ask for: whether there is a list at all.
func readPage(query url.Values) (page Page, none bool, err error) {
	page.Last = query.Get(paramLast)
	if len(page.Last) > cursorMost {
		return Page{}, false, fault.New(fault.Invalid, codePage, "%s has at most %d bytes", paramLast, cursorMost)
	}
	if !query.Has(paramMost) {
		return page, false, nil
	}
	most, err := strconv.Atoi(query.Get(paramMost))
	if err != nil || most < 0 {
		return Page{}, false, fault.New(fault.Invalid, codePage, "%.20q is no number of entries", query.Get(paramMost)).
			WithHint("Write %s=100.", paramMost)
	}
	page.Most = max(1, min(most, pageMost))
	return page, most == 0, nil
}

// referrers serves a page of what refers to a manifest, all or of one type.
func (d *door) referrers(w *recorder, r *http.Request, v *visit) error {
	query := r.URL.Query()
	next := query.Get(paramNext)
	if len(next) > cursorMost {
		return fault.New(fault.Invalid, codePage, "%s has at most %d bytes", paramNext, cursorMost)
	}
	found, err := d.config.Backend.Referrers(r.Context(), v.client, v.target.ref, next)
	if err != nil {
		return err
	}
	manifests := append([]ocispec.Descriptor{}, found.Manifests...) // an empty list is no null
	if want := query.Get(paramArtifact); want != "" {
		manifests = slices.DeleteFunc(manifests, func(m ocispec.Descriptor) bool { return m.ArtifactType != want })
		w.Header().Set("OCI-Filters-Applied", paramArtifact)
	}
	if found.Next != "" {
		query.Set(paramNext, found.Next)
		link(w, r.URL, query)
	}
	warn(w, found.Stale)
	return writeJSON(w, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: imagespecs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	})
}

// link tells where a list goes on: at the same address, with another query.
// https://www.rfc-editor.org/rfc/rfc8288
func link(w http.ResponseWriter, u *url.URL, query url.Values) {
	w.Header().Set("Link", "<"+u.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, mediaType string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(text) // nobody is left to tell
	return nil
}
