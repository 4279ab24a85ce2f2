package depottest

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/md5" //nolint:gosec // what Google sums files up with
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// googleCloud is Google Cloud Storage, as its JSON API and, for reading, its XML
// API, with the token service that service accounts log in at.
type googleCloud struct {
	*Cloud
	*objects
	key  *rsa.PrivateKey
	open bool // asks nobody for a token, as emulators do not

	mu    sync.Mutex
	token string // the one that was given last
}

const (
	googleBucket  = "acme-outputs"
	googleAccount = "fairlead@acme.iam.gserviceaccount.com"
	googleTokens  = "https://oauth2.googleapis.com/token"
)

// googleKey is every test's: making one takes long.
var googleKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// Google starts it, as storage.googleapis.com.
func Google(t *testing.T) *Cloud {
	t.Helper()
	g := newGoogle()
	world.serve(t, "storage.googleapis.com", g)
	world.serve(t, "www.googleapis.com", g) // its name of old, which works for uploads still
	world.serve(t, "oauth2.googleapis.com", http.HandlerFunc(g.tokens))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, g.key))
	g.Spoil = map[string]func(*testing.T){
		"GOOGLE_APPLICATION_CREDENTIALS": func(t *testing.T) {
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, other))
		},
		"the file that GOOGLE_APPLICATION_CREDENTIALS names": func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing.json"))
		},
		"or the service account of its machine": func(t *testing.T) { // a token that holds no longer
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, g.key))
			world.mu.Lock()
			defer world.mu.Unlock()
			world.hosts["oauth2.googleapis.com"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"access_token":"ya29.an0ther-s3cret","token_type":"Bearer","expires_in":3599}`)
			})
		},
	}
	return g.Cloud
}

// GoogleEmulator starts one that asks for no login, at STORAGE_EMULATOR_HOST.
func GoogleEmulator(t *testing.T) *Cloud {
	t.Helper()
	g := newGoogle()
	g.open = true
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
	return g.Cloud
}

func newGoogle() *googleCloud {
	g := &googleCloud{objects: newObjects(), key: googleKey(), token: "ya29." + rand.Text()}
	g.Cloud = &Cloud{
		Part: 16 << 20,
		Name: "Google Cloud Storage", store: g.objects, closed: make(map[string]bool), Secrets: []string{g.token, "PRIVATE KEY", "s3cret"},
		Depot: "gs://" + googleBucket, Elsewhere: "gs://acme-missing",
		input: func(key string) string { return "gs://" + googleBucket + "/" + key },
		isRead: func(r *http.Request) bool {
			return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/storage/")
		},
		isWrite: func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/upload/") || strings.HasPrefix(r.URL.Path, "/resumable/")
		},
		busy: func(w http.ResponseWriter) {
			googleError(w, http.StatusServiceUnavailable, "backendError", "We encountered an internal error. Please try again.")
		},
	}
	return g
}

// serviceAccount writes the file of a service account's key, with an id of its
// own.
func serviceAccount(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme", "private_key_id": rand.Text(), "client_email": googleAccount, "token_uri": googleTokens,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tokens trades an assertion for a token.
// https://developers.google.com/identity/protocols/oauth2/service-account
func (g *googleCloud) tokens(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || !g.holds(r.FormValue("assertion")) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, g.token)
}

// holds reports whether an assertion is the account's own, of this hour, and for
// this service.
func (g *googleCloud) holds(assertion string) bool {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	now := time.Now().Unix()
	return json.Unmarshal(text, &claims) == nil && claims.Issuer == googleAccount && claims.Audience == googleTokens && claims.Issued <= now+60 &&
		claims.Expires > now && claims.Expires-claims.Issued <= 3600 && mayWrite(claims.Scope)
}

// mayWrite reports whether a token for some scopes is good for storing files.
// https://cloud.google.com/storage/docs/oauth-scopes
func mayWrite(scopes string) bool {
	return slices.ContainsFunc(strings.Fields(scopes), func(scope string) bool {
		scope = strings.TrimPrefix(scope, "https://www.googleapis.com/auth/")
		return scope == "devstorage.read_write" || scope == "devstorage.full_control" || scope == "cloud-platform"
	})
}

// googleError refuses as the JSON API does.
// https://cloud.google.com/storage/docs/json_api/v1/status-codes
func googleError(w http.ResponseWriter, status int, reason, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%q,"errors":[{"message":%q,"domain":"global","reason":%q}]}}`, status, message, message, reason) //nolint:gosec // no browser reads it
}

// googleXML refuses as the XML API does.
func googleXML(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message) //nolint:gosec // no browser reads it
}

func (g *googleCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, done := g.disturb(w, r)
	if done {
		return
	}
	path, isJSON := strings.CutPrefix(r.URL.EscapedPath(), "/storage/v1/b/")
	upload, isUpload := strings.CutPrefix(r.URL.EscapedPath(), "/upload/storage/v1/b/")
	refuse := googleError
	if !isJSON && !isUpload && !strings.HasPrefix(r.URL.Path, "/resumable/") {
		refuse = googleXML
	}
	g.mu.Lock()
	known := g.open || g.gives(r) || r.Header.Get("Authorization") == "Bearer "+g.token
	g.mu.Unlock()
	switch {
	case !known:
		refuse(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
		return
	case g.forbids(r):
		refuse(w, http.StatusForbidden, "forbidden", googleAccount+" does not have storage.objects access to the Google Cloud Storage object. Permission denied on resource (or it may not exist).")
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/resumable/"):
		g.resume(w, r)
	case isUpload:
		bucket, _, _ := strings.Cut(upload, "/")
		if bucket != googleBucket || r.Method != http.MethodPost {
			googleError(w, http.StatusNotFound, "notFound", "The specified bucket does not exist.")
			return
		}
		g.upload(w, r)
	case path == googleBucket+"/o" && r.Method == http.MethodGet:
		g.list(w, r)
	case isJSON:
		bucket, escaped, _ := strings.Cut(strings.TrimSuffix(path, "/o"), "/o/")
		key, err := url.PathUnescape(escaped)
		if bucket != googleBucket || err != nil {
			googleError(w, http.StatusNotFound, "notFound", "The specified bucket does not exist.")
			return
		}
		g.object(w, r, key)
	default:
		bucket, escaped, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		key, err := url.PathUnescape(escaped)
		if bucket != googleBucket || err != nil {
			googleXML(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
			return
		}
		g.read(w, r, key)
	}
}

// object tells of a file, or deletes it.
func (g *googleCloud) object(w http.ResponseWriter, r *http.Request, key string) {
	found, is := g.find(key)
	switch {
	case !is:
		googleError(w, http.StatusNotFound, "notFound", "No such object: "+googleBucket+"/"+key)
	case r.Method == http.MethodGet && r.URL.Query().Get("alt") == "json":
		tell(w, key, found)
	case r.Method == http.MethodDelete:
		g.remove(key)
		w.WriteHeader(http.StatusNoContent)
	default:
		googleError(w, http.StatusNotImplemented, "notImplemented", r.Method+" is not known here")
	}
}

func tell(w http.ResponseWriter, key string, found object) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	text, err := json.Marshal(resource(key, found))
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(text)
}

// resource is what is told of a file.
func resource(key string, found object) map[string]string {
	sum := md5.Sum(found.content) //nolint:gosec // as above
	return map[string]string{
		"kind": "storage#object", "name": key, "bucket": googleBucket, "size": strconv.Itoa(len(found.content)), "contentEncoding": found.encoding,
		"generation": strconv.FormatInt(found.generation, 10), "metageneration": "1", "contentType": found.kind,
		"md5Hash": base64.StdEncoding.EncodeToString(sum[:]), "crc32c": crc32c(found.content), "etag": fmt.Sprintf("CK%dEAE=", found.generation),
		"timeCreated": found.modified.Format(time.RFC3339Nano), "updated": found.modified.Format(time.RFC3339Nano),
	}
}

func crc32c(content []byte) string {
	sum := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// read gives a file's bytes.
// https://cloud.google.com/storage/docs/xml-api/get-object-download
func (g *googleCloud) read(w http.ResponseWriter, r *http.Request, key string) {
	found, is := g.find(key)
	generation := strconv.FormatInt(found.generation, 10)
	wanted := r.URL.Query().Get("generation")
	switch condition := r.Header.Get("X-Goog-If-Generation-Match"); {
	case r.Method != http.MethodGet:
		googleXML(w, http.StatusNotImplemented, "NotImplemented", r.Method+" is not known here")
		return
	case !is, wanted != "" && wanted != generation:
		googleXML(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	case condition != "" && condition != generation:
		googleXML(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	content, header := found.content, w.Header()
	sum := md5.Sum(content) //nolint:gosec // as above
	header.Set("X-Goog-Generation", generation)
	header.Set("X-Goog-Metageneration", "1")
	header.Add("X-Goog-Hash", "crc32c="+crc32c(content))
	header.Add("X-Goog-Hash", "md5="+base64.StdEncoding.EncodeToString(sum[:]))
	header.Set("X-Goog-Stored-Content-Length", strconv.Itoa(len(content)))
	header.Set("X-Goog-Stored-Content-Encoding", found.encoding)
	header.Set("Last-Modified", found.modified.Format(http.TimeFormat))
	header.Set("ETag", fmt.Sprintf(`"CK%sEAE="`, generation))
	if found.encoding == "gzip" && !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") { // unpacked for those who do not say that they can
		unpacked, err := gzip.NewReader(bytes.NewReader(content))
		if err == nil {
			header.Set("Warning", `214 UploadServer "gunzipped"`)
			_, _ = io.Copy(w, unpacked) //nolint:gosec // a test's own
		}
		return
	}
	if found.encoding != "" {
		header.Set("Content-Encoding", found.encoding)
	}
	from, to, no := span(r.Header.Get("Range"), len(content))
	if no {
		googleXML(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range cannot be satisfied.")
		return
	}
	header.Set("Content-Length", strconv.Itoa(to-from))
	if r.Header.Get("Range") != "" {
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[from:to])
}

// googleObject is what an upload says of its file.
type googleObject struct {
	Name        string `json:"name"`
	Bucket      string `json:"bucket"`
	ContentType string `json:"contentType"`
	MD5         string `json:"md5Hash"`
	CRC32C      string `json:"crc32c"`
}

// upload takes a file at once, or begins one that comes in parts.
// https://cloud.google.com/storage/docs/json_api/v1/objects/insert
func (g *googleCloud) upload(w http.ResponseWriter, r *http.Request) {
	var about googleObject
	switch r.URL.Query().Get("uploadType") {
	case "multipart":
		_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			googleError(w, http.StatusBadRequest, "badRequest", "Bad content type.")
			return
		}
		parts := multipart.NewReader(r.Body, parameters["boundary"])
		first, err := parts.NextPart()
		if err != nil || json.NewDecoder(first).Decode(&about) != nil {
			googleError(w, http.StatusBadRequest, "parseError", "Parse Error")
			return
		}
		second, err := parts.NextPart()
		if err != nil {
			googleError(w, http.StatusBadRequest, "badRequest", "Multipart must have two parts.")
			return
		}
		content, err := io.ReadAll(second)
		if err != nil {
			return // the connection broke
		}
		g.finish(w, r, about, content)
	case "resumable":
		// The name is in the body or in the query, and without a body there is no more
		// to say.
		if err := json.NewDecoder(r.Body).Decode(&about); err != nil && !errors.Is(err, io.EOF) {
			googleError(w, http.StatusBadRequest, "parseError", "Parse Error")
			return
		}
		if about.Name == "" {
			about.Name, about.ContentType = r.URL.Query().Get("name"), r.Header.Get("X-Upload-Content-Type")
		}
		if about.Name == "" {
			googleError(w, http.StatusBadRequest, "required", "Required parameter: name")
			return
		}
		name := rand.Text()
		g.objects.mu.Lock()
		g.begun[name] = nil
		g.objects.mu.Unlock()
		// Its name alone lets one go on, so that it is a secret.
		scheme := "https://"
		if g.open {
			scheme = "http://"
		}
		w.Header().Set("Location", scheme+r.Host+"/resumable/"+name+"?"+url.Values{"name": {about.Name}, "type": {about.ContentType}, "upload_id": {name}}.Encode())
	default:
		googleError(w, http.StatusNotImplemented, "notImplemented", "This kind of upload is not known here")
	}
}

// resume takes the next part.
// https://cloud.google.com/storage/docs/performing-resumable-uploads
func (g *googleCloud) resume(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("upload_id")
	part, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection broke
	}
	g.objects.mu.Lock()
	so, is := g.begun[name]
	if r.Method == http.MethodDelete {
		delete(g.begun, name)
	}
	g.objects.mu.Unlock()
	if !is || r.Method == http.MethodDelete {
		googleError(w, 499, "notFound", "This upload is not there.")
		return
	}
	bytesOf, total, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
	if first, _, _ := strings.Cut(bytesOf, "-"); bytesOf != "*" && first != strconv.Itoa(len(so)) {
		googleError(w, http.StatusServiceUnavailable, "backendError", "This part does not follow.")
		return
	}
	so = slices.Concat(so, part)
	g.objects.mu.Lock()
	g.begun[name] = so
	g.objects.mu.Unlock()
	if total != strconv.Itoa(len(so)) {
		if len(so) > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(so)-1))
		}
		if r.Header.Get("X-GUploader-No-308") == "yes" {
			w.Header().Set("X-Http-Status-Code-Override", "308")
			return
		}
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	g.objects.mu.Lock()
	delete(g.begun, name)
	g.objects.mu.Unlock()
	g.finish(w, r, googleObject{Name: r.URL.Query().Get("name"), ContentType: r.URL.Query().Get("type")}, so)
}

// finish keeps a file whose sums are right.
func (g *googleCloud) finish(w http.ResponseWriter, r *http.Request, about googleObject, content []byte) {
	sum := md5.Sum(content) //nolint:gosec // as above
	for _, told := range r.Header.Values("X-Goog-Hash") {
		for each := range strings.SplitSeq(told, ",") {
			if value, is := strings.CutPrefix(strings.TrimSpace(each), "crc32c="); is {
				about.CRC32C = value
			}
		}
	}
	if about.MD5 != "" && about.MD5 != base64.StdEncoding.EncodeToString(sum[:]) || about.CRC32C != "" && about.CRC32C != crc32c(content) {
		googleError(w, http.StatusBadRequest, "invalid", "Provided hash does not match calculated hash.")
		return
	}
	tell(w, about.Name, g.keep(about.Name, object{content: content, kind: about.ContentType}))
}
