package web

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// answer is what a handler says; send writes it.
type answer interface{ send(v *visit) error }

// page is a whole page. Its file is one of templates, and defines main.
type page struct {
	file  string
	title string
	data  any

	status int // 200 if 0
	form   *form

	// inPlace is for what a form is answered with and has no address of its own,
	// such as a text that is shown once: htmx gets the content alone, for #main.
	inPlace bool
}

// part is a piece of a page, for htmx: a template that the file defines.
type part struct {
	file, name string
	data       any
	status     int // 200 if 0
}

// seeOther sends the browser on, and has the next page say something.
type seeOther struct{ to, said string }

// stream writes by itself.
type stream func(v *visit) error

func (p page) send(v *visit) error {
	var body bytes.Buffer
	if err := v.site.views.page(&body, v, p); err != nil {
		return err
	}
	return v.write(p.status, "text/html; charset=utf-8", body.Bytes())
}

func (p part) send(v *visit) error {
	var body bytes.Buffer
	if err := v.site.views.part(&body, v, p); err != nil {
		return err
	}
	return v.write(p.status, "text/html; charset=utf-8", body.Bytes())
}

func (s seeOther) send(v *visit) error {
	if s.said != "" {
		v.setCookie(saidCookie, url.QueryEscape(s.said), time.Minute)
	}
	if v.htmx {
		v.w.Header().Set("HX-Redirect", s.to)
		v.w.WriteHeader(http.StatusOK)
		return nil
	}
	http.Redirect(v.w, v.r, s.to, http.StatusSeeOther)
	return nil
}

func (s stream) send(v *visit) error { return s(v) }

func (v *visit) write(status int, kind string, body []byte) error {
	if status == 0 {
		status = http.StatusOK
	}
	header := v.w.Header()
	header.Set("Content-Type", kind)
	if len(body) > compressFrom && accepts(v.r, "gzip") {
		body = compress(body)
		header.Set("Content-Encoding", "gzip")
	}
	header.Add("Vary", "Accept-Encoding, HX-Request, Cookie")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body) // whoever does not wait for it needs no error
	return nil
}

// said is what the page before has this one say, once.
func (v *visit) said() string {
	text := v.cookie(saidCookie)
	if text == "" {
		return ""
	}
	v.setCookie(saidCookie, "", 0)
	said, err := url.QueryUnescape(text)
	if err != nil {
		return ""
	}
	return said
}

// statuses is the one table from a fault's kind to HTTP.
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusUnprocessableEntity,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied:          http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusUnprocessableEntity, // a form can mend it
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Exhausted:       http.StatusTooManyRequests,
	fault.Internal:        http.StatusInternalServerError,
}

// fail answers with what went wrong: a page of its own, or, for htmx, the message
// alone, which the page shows above everything.
func (v *visit) fail(err error) {
	f := fault.From(err)
	v.failure = f
	if f.Kind == fault.Unauthenticated {
		_ = seeOther{to: v.toSignIn()}.send(v) // it writes no body that could fail
		return
	}
	if f.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	status := statuses[f.Kind]
	var failed error
	if v.htmx {
		if status == http.StatusUnprocessableEntity { // which htmx would put where the form asked for
			v.w.Header().Set("HX-Retarget", "#wrong")
			v.w.Header().Set("HX-Reswap", "innerHTML")
		}
		failed = part{file: "problem.html", name: "problem", data: f, status: status}.send(v)
	} else {
		failed = page{file: "problem.html", title: titleOf(f), data: f, status: status}.send(v)
	}
	if failed != nil {
		v.site.config.Logger.Error("showing an error failed", "error", failed)
		http.Error(v.w, f.Sentence(), status)
	}
}

func titleOf(f *fault.Error) string {
	switch f.Kind {
	case fault.NotFound:
		return "Not found"
	case fault.Denied:
		return "Not allowed"
	case fault.Internal:
		return "Something went wrong"
	default:
		return "That did not work"
	}
}

// download sends a file to be saved under a name.
func (v *visit) download(body io.ReadCloser, name string, size int64) error {
	defer body.Close()
	header := v.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	if size >= 0 {
		header.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	if _, err := io.Copy(v.w, body); err != nil {
		panic(http.ErrAbortHandler) // so that the browser knows that it has not all of it
	}
	return nil
}
