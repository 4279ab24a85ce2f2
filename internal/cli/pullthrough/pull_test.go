package pullthrough_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specs "github.com/opencontainers/distribution-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
)

// content is an image that was pushed, byte for byte.
type content struct {
	repository string
	tag        string
	manifest   []byte
	blobs      [][]byte // the configuration, and then the layers
}

func (c *content) digest() digest.Digest { return digest.FromBytes(c.manifest) }

// parts are the digests of all of it, the manifest's first.
func (c *content) parts() []digest.Digest {
	parts := []digest.Digest{c.digest()}
	for _, blob := range c.blobs {
		parts = append(parts, digest.FromBytes(blob))
	}
	return parts
}

// manifestPath is where the manifest is, by a tag or a digest.
func (c *content) manifestPath(target string) string {
	return "/v2/" + upstreamHost + "/" + c.repository + "/manifests/" + target
}

func (c *content) blobPath(d digest.Digest) string {
	return "/v2/" + upstreamHost + "/" + c.repository + "/blobs/" + d.String()
}

// push pushes an image of such layers.
func (w *world) push(repository, tag string, layers ...[]byte) *content {
	w.t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, layer := range layers {
		var err error
		img, err = mutate.AppendLayers(img, static.NewLayer(layer, types.OCILayer))
		w.check(err)
	}
	return w.pushImage(repository, tag, img)
}

// pushImage pushes an image as it is.
func (w *world) pushImage(repository, tag string, img v1.Image) *content {
	w.t.Helper()
	_, err := w.registry.Push(w.t.Context(), repository, tag, img)
	w.check(err)
	c := &content{repository: repository, tag: tag}
	c.manifest, err = img.RawManifest()
	w.check(err)
	config, err := img.RawConfigFile()
	w.check(err)
	c.blobs = append(c.blobs, config)
	layers, err := img.Layers()
	w.check(err)
	for _, layer := range layers {
		from, err := layer.Compressed()
		w.check(err)
		blob, err := io.ReadAll(from)
		w.check(err)
		w.check(from.Close())
		c.blobs = append(c.blobs, blob)
	}
	return c
}

// noise is of as many bytes, as random as what draws it.
func noise(draw *rand.Rand, size int) []byte {
	var key [32]byte
	for i := range key {
		key[i] = byte(draw.Uint32())
	}
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(content) // it never fails
	return content
}

// errBad is of bytes that are not those which were pushed, and came as if they were:
// what must never be. errLie is of such bytes in an answer that broke off, as it must
// where the registry lies; where it does not, it must never be either.
var (
	errBad = errors.New("what came is not what was pushed")
	errLie = errors.New("what came until it broke off is not what was pushed")
)

// refusal is an answer that is none of what was asked for.
type refusal struct {
	status int
	header http.Header
	specs.ErrorInfo
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Message) }

// get reads what is at a path, of which it compares each byte that comes with what was
// pushed. Part is a range, "" for all of it. It comes to nothing else than all of the
// bytes, a refusal in the specification's form, or an error.
func (w *world) get(ctx context.Context, m *member, path, part string, want []byte) error {
	asked := w.request(ctx, m, http.MethodGet, path)
	status := http.StatusOK
	if part != "" {
		asked.Header.Set("Range", part)
		status = http.StatusPartialContent
	}
	answer, err := http.DefaultClient.Do(asked)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != status {
		return refusalOf(answer)
	}
	got, err := io.ReadAll(answer.Body)
	switch {
	case err == nil && bytes.Equal(got, want):
		return nil
	case err == nil:
		return fmt.Errorf("%s %s, %d bytes: %w", path, part, len(got), errBad)
	case !bytes.HasPrefix(want, got):
		return fmt.Errorf("%s %s, %d bytes: %w, %w", path, part, len(got), errLie, err)
	default:
		return err
	}
}

// refusalOf reads a refusal, which has the specification's form.
func refusalOf(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return err
	}
	var body specs.ErrorResponse
	if err := json.Unmarshal(text, &body); err != nil || len(body.Errors) != 1 || answer.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("%s with a body that is no refusal: %q", answer.Status, text)
	}
	return &refusal{answer.StatusCode, answer.Header, body.Errors[0]}
}

// pull pulls an image by its tag, all of it.
func (w *world) pull(ctx context.Context, m *member, c *content, told func(digest.Digest)) error {
	if err := w.get(ctx, m, c.manifestPath(c.tag), "", c.manifest); err != nil {
		return err
	}
	told(c.digest())
	for _, blob := range c.blobs {
		d := digest.FromBytes(blob)
		if err := w.get(ctx, m, c.blobPath(d), "", blob); err != nil {
			return err
		}
		told(d)
	}
	return nil
}

// nobody is told of what was pulled.
func nobody(digest.Digest) {}

// pullInPieces pulls an image by its digest, each blob by some ranges and then whole.
func (w *world) pullInPieces(ctx context.Context, draw *rand.Rand, m *member, c *content) error {
	if err := w.get(ctx, m, c.manifestPath(c.digest().String()), "", c.manifest); err != nil {
		return err
	}
	for _, blob := range c.blobs {
		path := c.blobPath(digest.FromBytes(blob))
		for range 3 {
			if len(blob) == 0 {
				break
			}
			from := draw.IntN(len(blob))
			to := from + draw.IntN(len(blob)-from)
			if err := w.get(ctx, m, path, fmt.Sprintf("bytes=%d-%d", from, to), blob[from:to+1]); err != nil {
				return err
			}
		}
		if err := w.get(ctx, m, path, "", blob); err != nil {
			return err
		}
	}
	return nil
}

// wantRefused fails the test unless that was refused so, with such words.
func (w *world) wantRefused(err error, status int, code string, says ...string) *refusal {
	w.t.Helper()
	got, is := errors.AsType[*refusal](err)
	if !is || got.status != status || got.Code != code {
		w.t.Fatalf("it came to %v, want %d %s", err, status, code)
	}
	for _, words := range says {
		if !strings.Contains(got.Message, words) {
			w.t.Errorf("it says %q, and not %q", got.Message, words)
		}
	}
	return got
}
