package depottest

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what Azure sums files up with
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// azure is a storage account of Azure Blob Storage.
type azure struct {
	*Cloud
	*objects
	below string // what the path begins with: an emulator's account
}

const (
	azureAccount   = "acmestorage"
	azureContainer = "outputs"
	azureKey       = "czNjcmV0IGtleSBvZiB0aGUgdGVzdCwgd2hpY2ggbm9ib2R5IG11c3QgZXZlciBzZWUh"
	azureSignature = "s3cret/SAS+signature="
)

// Azure starts it, as ACCOUNT.blob.core.windows.net.
func Azure(t *testing.T) *Cloud {
	t.Helper()
	a := newAzure(t)
	world.serve(t, azureAccount+".blob.core.windows.net", a)
	return a.Cloud
}

// AzureEmulator starts one that speaks plain http at an address of its own, with
// the account in its paths.
func AzureEmulator(t *testing.T) *Cloud {
	t.Helper()
	a := newAzure(t)
	a.below = "/" + azureAccount
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	t.Setenv("AZURE_STORAGE_DOMAIN", strings.TrimPrefix(server.URL, "http://"))
	t.Setenv("AZURE_STORAGE_PROTOCOL", "http")
	return a.Cloud
}

// AzureSAS makes the environment log in with a shared access signature instead
// of the account's key.
func AzureSAS(t *testing.T) {
	t.Helper()
	t.Setenv("AZURE_STORAGE_KEY", "")
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", url.Values{"sv": {"2024-11-04"}, "sr": {"c"}, "sp": {"rwdl"}, "sig": {azureSignature}}.Encode())
}

// AzureConnectionString makes the environment log in with one of those.
func AzureConnectionString(t *testing.T) {
	t.Helper()
	t.Setenv("AZURE_STORAGE_ACCOUNT", "")
	t.Setenv("AZURE_STORAGE_KEY", "")
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=https;AccountName="+azureAccount+";AccountKey="+azureKey+";EndpointSuffix=core.windows.net")
}

func newAzure(t *testing.T) *azure {
	t.Helper()
	t.Setenv("AZURE_STORAGE_ACCOUNT", azureAccount)
	t.Setenv("AZURE_STORAGE_KEY", azureKey)
	a := &azure{objects: newObjects()}
	a.Cloud = &Cloud{
		Part: 8 << 20,
		Name: "Azure Blob Storage", store: a.objects, closed: make(map[string]bool), Secrets: []string{azureKey, azureSignature, url.QueryEscape(azureSignature), "MAC signature"},
		Depot: "azblob://" + azureContainer, Elsewhere: "azblob://missing",
		input:   func(key string) string { return "azure://" + azureAccount + "/" + azureContainer + "/" + key },
		isRead:  func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Get("comp") == "" },
		isWrite: func(r *http.Request) bool { return r.Method == http.MethodPut },
		busy: func(w http.ResponseWriter) {
			azureError{http.StatusServiceUnavailable, "ServerBusy", "The server is currently unable to receive requests. Please retry your request.", ""}.answer(w, http.MethodGet)
		},
		Spoil: map[string]func(*testing.T){
			"AZURE_STORAGE_KEY": func(t *testing.T) {
				t.Setenv("AZURE_STORAGE_KEY", base64.StdEncoding.EncodeToString([]byte("an0ther-s3cret")))
			},
			"AZURE_STORAGE_SAS_TOKEN": func(t *testing.T) {
				AzureSAS(t)
				t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2024-11-04&sr=c&sp=rwdl&sig=an0ther-s3cret")
			},
			"AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY": func(t *testing.T) { t.Setenv("AZURE_STORAGE_KEY", "") },
			"AZURE_STORAGE_CONNECTION_STRING": func(t *testing.T) {
				AzureConnectionString(t)
				t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=https;AccountName="+azureAccount+";AccountKey=YW4wdGhlci1zM2NyZXQ=;EndpointSuffix=core.windows.net")
			},
		},
	}
	return a
}

// azureError is what Blob Storage refuses with.
// https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
type azureError struct {
	status        int
	code, message string
	detail        string
}

func (e azureError) answer(w http.ResponseWriter, method string) {
	w.Header().Set("X-Ms-Error-Code", e.code)
	w.Header().Set("X-Ms-Request-Id", "7d3f2a0e-901e-0042-1b5c-a5d7f3000000")
	if method == http.MethodHead {
		w.WriteHeader(e.status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%s\nRequestId:7d3f2a0e-901e-0042-1b5c-a5d7f3000000</Message>", e.code, e.message)
	if e.detail != "" {
		_, _ = io.WriteString(w, "<AuthenticationErrorDetail>")
		_ = xml.EscapeText(w, []byte(e.detail))
		_, _ = io.WriteString(w, "</AuthenticationErrorDetail>")
	}
	_, _ = io.WriteString(w, "</Error>")
}

func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, done := a.disturb(w, r)
	if done {
		return
	}
	refusal := a.check(r)
	container, key, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, a.below), "/"), "/")
	switch {
	case refusal != nil:
	case a.forbids(r):
		refusal = &azureError{http.StatusForbidden, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.", ""}
	case container != azureContainer:
		refusal = &azureError{http.StatusNotFound, "ContainerNotFound", "The specified container does not exist.", ""}
	case r.Method == http.MethodPut:
		refusal = a.write(w, r, key)
	case key == "" && r.Method == http.MethodGet && r.URL.Query().Get("restype") == "container" && r.URL.Query().Get("comp") == "list":
		a.list(w, r)
	case r.URL.Query().Get("comp") != "":
		refusal = &azureError{http.StatusNotImplemented, "NotImplemented", "This is not known here.", ""}
	default:
		refusal = a.object(w, r, key)
	}
	if refusal != nil {
		refusal.answer(w, r.Method)
	}
}

// check recomputes the signature.
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
func (a *azure) check(r *http.Request) *azureError {
	const skewMost = 15 * time.Minute
	refusal := &azureError{
		http.StatusForbidden, "AuthenticationFailed",
		"Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.", "",
	}
	if r.Header.Get("X-Ms-Version") == "" {
		return &azureError{http.StatusBadRequest, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not specified.", ""}
	}
	if sent := r.URL.Query().Get("sig"); sent != "" { // of shared access signatures it knows one
		if sent == azureSignature {
			return nil
		}
		refusal.detail = "Signature did not match. String to sign used was rwdl, and MAC signature " + sent
		return refusal
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	account, signature, _ := strings.Cut(rest, ":")
	if scheme != "SharedKey" {
		return &azureError{http.StatusUnauthorized, "NoAuthenticationInformation", "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.", ""}
	}
	at, err := http.ParseTime(r.Header.Get("X-Ms-Date"))
	if err != nil || time.Since(at).Abs() > skewMost {
		refusal.detail = "Request date header too old: " + r.Header.Get("X-Ms-Date")
		return refusal
	}
	key, err := base64.StdEncoding.DecodeString(azureKey)
	if err != nil {
		panic(err)
	}
	text := azureText(r)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if account != azureAccount || subtle.ConstantTimeCompare([]byte(want), []byte(signature)) != 1 {
		refusal.detail = fmt.Sprintf("The MAC signature found in the HTTP request '%s' is not the same as any computed signature. Server used following string to sign: '%s'.", signature, text)
		return refusal
	}
	return nil
}

// azureText is the request as it is signed.
func azureText(r *http.Request) string {
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	lines := []string{r.Method, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Language"), length}
	for _, name := range []string{"Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		lines = append(lines, r.Header.Get(name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name := strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			lines = append(lines, name+":"+strings.Join(r.Header.Values(name), ","))
		}
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	lines = append(lines, "/"+azureAccount+path)
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		slices.Sort(query[name])
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(query[name], ","))
	}
	return strings.Join(lines, "\n")
}

// object tells of a blob, gives its bytes, or deletes it.
func (a *azure) object(w http.ResponseWriter, r *http.Request, key string) *azureError {
	found, is := a.copied(key)
	etag := found.azureTag()
	switch condition := r.Header.Get("If-Match"); {
	case !is:
		return &azureError{http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.", ""}
	case condition != "" && condition != etag:
		return &azureError{http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.", ""}
	case r.Method == http.MethodDelete:
		a.remove(key)
		w.WriteHeader(http.StatusAccepted)
		return nil
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return &azureError{http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.", ""}
	}
	asked := r.Header.Get("X-Ms-Range")
	if asked == "" {
		asked = r.Header.Get("Range")
	}
	from, to, no := span(asked, len(found.content))
	if no {
		return &azureError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.", ""}
	}
	sum, header := md5.Sum(found.content), w.Header() //nolint:gosec // as above
	header.Set("ETag", etag)
	header.Set("Last-Modified", found.modified.Format(http.TimeFormat))
	header.Set("X-Ms-Creation-Time", found.modified.Format(http.TimeFormat))
	header.Set("X-Ms-Blob-Type", found.azureType())
	if found.source != nil {
		header.Set("X-Ms-Copy-Id", azureCopy)
		header.Set("X-Ms-Copy-Status", found.azureCopyStatus())
	}
	header.Set("X-Ms-Version", r.Header.Get("X-Ms-Version"))
	header.Set("Content-Type", found.kind)
	header.Set("Accept-Ranges", "bytes")
	header.Set("Content-Length", strconv.Itoa(to-from))
	if found.encoding != "" {
		header.Set("Content-Encoding", found.encoding)
	}
	if asked == "" {
		header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	} else {
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(found.content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(found.content[from:to])
	}
	return nil
}

// write takes a blob at once, a block of one, or the list of its blocks.
// https://learn.microsoft.com/rest/api/storageservices/put-block-list
func (a *azure) write(w http.ResponseWriter, r *http.Request, key string) *azureError {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &azureError{http.StatusBadRequest, "IncompleteBody", "The body did not arrive.", ""}
	}
	sum := md5.Sum(body) //nolint:gosec // as above
	if told := r.Header.Get("Content-MD5"); told != "" && told != base64.StdEncoding.EncodeToString(sum[:]) {
		return &azureError{http.StatusBadRequest, "Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 value calculated by the server.", ""}
	}
	kind, status := r.Header.Get("X-Ms-Blob-Content-Type"), http.StatusCreated
	switch comp := r.URL.Query().Get("comp"); {
	case comp == "" && r.Header.Get("X-Ms-Blob-Type") == "BlockBlob":
		a.keep(key, object{content: body, kind: kind})
	case comp == "" && r.Header.Get("X-Ms-Blob-Type") == "AppendBlob" && len(body) == 0:
		a.keep(key, object{kind: kind, appends: true})
	case comp == "appendblock":
		if refusal := a.append(r, key, body); refusal != nil {
			return refusal
		}
	case comp == "" && r.Header.Get("X-Ms-Copy-Source") != "":
		if refusal := a.copy(r, key); refusal != nil {
			return refusal
		}
		found, _ := a.find(key)
		w.Header().Set("X-Ms-Copy-Id", azureCopy)
		w.Header().Set("X-Ms-Copy-Status", found.azureCopyStatus())
		status = http.StatusAccepted
	case comp == "block":
		id := r.URL.Query().Get("blockid")
		if raw, err := base64.StdEncoding.DecodeString(id); err != nil || len(raw) == 0 || len(raw) > 64 {
			return &azureError{http.StatusBadRequest, "InvalidQueryParameterValue", "Value for one of the query parameters specified in the request URI is invalid.", ""}
		}
		a.objects.mu.Lock()
		a.begun[key+"\n"+id] = body
		a.objects.mu.Unlock()
	case comp == "blocklist":
		var list struct {
			Latest []string `xml:"Latest"`
		}
		if err := xml.Unmarshal(body, &list); err != nil {
			return &azureError{http.StatusBadRequest, "InvalidXmlDocument", "XML specified is not syntactically valid.", ""}
		}
		var content []byte
		for _, id := range list.Latest {
			a.objects.mu.Lock()
			block, is := a.begun[key+"\n"+id]
			delete(a.begun, key+"\n"+id)
			a.objects.mu.Unlock()
			if !is {
				return &azureError{http.StatusBadRequest, "InvalidBlockList", "The specified block list is invalid.", ""}
			}
			content = append(content, block...)
		}
		a.keep(key, object{content: content, kind: kind})
	default:
		return &azureError{http.StatusNotImplemented, "NotImplemented", "This is not known here.", ""}
	}
	found, _ := a.find(key)
	w.Header().Set("ETag", found.azureTag())
	w.Header().Set("Last-Modified", found.modified.Format(http.TimeFormat))
	w.Header().Set("X-Ms-Request-Server-Encrypted", "true")
	w.WriteHeader(status)
	return nil
}
