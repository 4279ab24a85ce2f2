package depottest

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// azureCopy is every copy's name.
const azureCopy = "1f812371-a41d-49e6-b123-f4b542e851c5"

func (o object) azureTag() string { return fmt.Sprintf(`"0x8D%013X"`, o.generation) }

func (o object) azureType() string {
	if o.appends {
		return "AppendBlob"
	}
	return "BlockBlob"
}

func (o object) azureCopyStatus() string {
	if o.copying > 0 {
		return "pending"
	}
	return "success"
}

// append adds a block to a blob that grows.
// https://learn.microsoft.com/rest/api/storageservices/append-block
func (a *azure) append(r *http.Request, key string, block []byte) *azureError {
	const blockMost = 100 << 20
	a.objects.mu.Lock()
	defer a.objects.mu.Unlock()
	found, is := a.byKey[key]
	position, condition := r.Header.Get("X-Ms-Blob-Condition-Appendpos"), r.Header.Get("If-Match")
	switch {
	case !is:
		return &azureError{http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.", ""}
	case !found.appends:
		return &azureError{http.StatusConflict, "InvalidBlobType", "The blob type is invalid for this operation.", ""}
	case len(block) == 0 || len(block) > blockMost:
		return &azureError{http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit.", ""}
	case condition != "" && condition != found.azureTag():
		return &azureError{http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.", ""}
	case position != "" && position != strconv.Itoa(len(found.content)):
		return &azureError{http.StatusPreconditionFailed, "AppendPositionConditionNotMet", "The append position condition specified was not met.", ""}
	}
	a.changes++
	found.content, found.generation = slices.Concat(found.content, block), a.changes
	a.byKey[key] = found
	return nil
}

// copy makes a blob of another one of the account, at once or, if a test wants it, in
// a while: until then it is empty.
// https://learn.microsoft.com/rest/api/storageservices/copy-blob
func (a *azure) copy(r *http.Request, key string) *azureError {
	missing := &azureError{http.StatusNotFound, "CannotVerifyCopySource", "The specified resource does not exist.", ""}
	from, err := url.Parse(r.Header.Get("X-Ms-Copy-Source"))
	if err != nil || from.Host != r.Host {
		return missing
	}
	container, name, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(from.Path, a.below), "/"), "/")
	source, is := a.find(name)
	if container != azureContainer || !is {
		return missing
	}
	if old, is := a.find(key); is && old.appends != source.appends {
		return &azureError{http.StatusConflict, "InvalidBlobType", "The blob type is invalid for this operation.", ""}
	}
	a.Cloud.mu.Lock()
	copies := a.copies
	a.Cloud.mu.Unlock()
	made := object{kind: source.kind, appends: source.appends, copying: copies, source: source.content}
	if copies == 0 {
		made.content = source.content
	}
	a.keep(key, made)
	return nil
}

// copied finds a blob, and has a copy come nearer to its end.
func (a *azure) copied(key string) (object, bool) {
	a.objects.mu.Lock()
	defer a.objects.mu.Unlock()
	found, is := a.byKey[key]
	if found.copying > 0 {
		if found.copying--; found.copying == 0 {
			found.content = found.source
		}
		a.byKey[key] = found
	}
	return found, is
}

// azureListed is a blob of a list.
type azureListed struct {
	Name       string
	Properties struct {
		Modified string `xml:"Last-Modified"`
		Etag     string
		Length   int `xml:"Content-Length"`
		BlobType string
	}
}

// list gives the blobs below a prefix, some at a time.
// https://learn.microsoft.com/rest/api/storageservices/list-blobs
func (a *azure) list(w http.ResponseWriter, r *http.Request) {
	const most = 5 * listMost
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("maxresults"))
	if err != nil || limit > most {
		limit = most
	}
	answer := struct {
		XMLName xml.Name      `xml:"EnumerationResults"`
		Prefix  string        `xml:",omitempty"`
		Blobs   []azureListed `xml:"Blobs>Blob"`
		Next    string        `xml:"NextMarker"`
	}{Prefix: query.Get("prefix")}
	for _, key := range a.objects.below(query.Get("prefix")) {
		found, is := a.find(key)
		if !is || key < query.Get("marker") {
			continue
		}
		if len(answer.Blobs) == limit {
			answer.Next = key
			break
		}
		listed := azureListed{Name: key}
		listed.Properties.Modified, listed.Properties.Etag = found.modified.Format(http.TimeFormat), found.azureTag()
		listed.Properties.Length, listed.Properties.BlobType = len(found.content), found.azureType()
		answer.Blobs = append(answer.Blobs, listed)
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	if err := xml.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}
