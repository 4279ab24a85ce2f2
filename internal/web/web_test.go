package web

import (
	"io/fs"
	"testing"
	"time"
)

// Templates are parsed when they are first needed; a test must not wait for that.
func TestEveryTemplateCanBeParsed(t *testing.T) {
	s := &site{config: Config{Now: time.Now}}
	var err error
	if s.assets, err = openAssets(); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err := newViews(s).get(file[len("templates/"):]); err != nil {
			t.Error(err)
		}
	}
}

func TestASignInLeadsOnToPathsOfThisServerAlone(t *testing.T) {
	for to, want := range map[string]string{
		"/executions/?page=2": "/executions/?page=2", "": "/", "//evil.example/": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "/%2F/evil.example": "/", "/a\r\nb": "/", "o/1/": "/",
	} {
		if got := local(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}
