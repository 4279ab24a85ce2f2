package api

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

// uploadField is the part that holds the code.
const uploadField = "data"

// Bounds of an upload beside its data.
const (
	uploadFieldMost = 64 << 10
	uploadFields    = 16
)

// upload reads the data of a multipart body while it arrives. At the end of the
// data it looks at what comes behind: a field there would have been missed, so
// it is refused before the data counts as read.
type upload struct {
	parts *multipart.Reader
	data  *multipart.Part

	// err is why the upload is no good, whatever its reader made of it.
	err error
}

// openUpload reads up to the data. Each field before it is given to set, which
// reports whether there is such a field.
func openUpload(w http.ResponseWriter, r *http.Request, set func(name, value string) bool) (*upload, error) {
	r.Body = http.MaxBytesReader(w, r.Body, execution.PackageMost+1<<20)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fault.New(fault.Invalid, "content_type", "an upload is a body of type multipart/form-data").
			WithHint("Send the code as its part %s.", uploadField)
	}
	for range uploadFields {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, fault.InvalidField(uploadField, "required", "is required: the code as a gzipped tar")
		}
		if err != nil {
			return nil, unreadable(err)
		}
		if part.FormName() == uploadField {
			return &upload{parts: parts, data: part}, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, uploadFieldMost+1))
		switch {
		case err != nil:
			return nil, unreadable(err)
		case len(value) > uploadFieldMost:
			return nil, fault.InvalidField(part.FormName(), "long", "has more than %d bytes", uploadFieldMost)
		case !set(part.FormName(), string(value)):
			return nil, fault.InvalidField(part.FormName(), "field_unknown", "is no field of this request")
		}
	}
	return nil, fault.New(fault.Invalid, "fields", "there are more than %d fields before the data", uploadFields)
}

// Read reads the data.
func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.data.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		if u.err = u.end(); u.err != nil {
			return n, u.err
		}
	case err != nil:
		u.err = unreadable(err)
		return n, u.err
	}
	return n, err
}

// end refuses what stands behind the data.
func (u *upload) end() error {
	part, err := u.parts.NextPart()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return unreadable(err)
	default:
		return fault.InvalidField(part.FormName(), "order", "stands behind the data; send it before")
	}
}
