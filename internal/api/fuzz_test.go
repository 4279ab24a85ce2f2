package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"name=x&owner=y", "operator=true&username=a&username=b", "time_limit=5&cpus=1.5&tags=a&tags=b", "cpus=NaN", "%zz=1", "a=1;b=2", "=", "\x00=\xff",
	} {
		f.Add(seed)
	}
	shape := newForm(reflect.TypeFor[struct{ Body wire.NewExecution }]())
	f.Fuzz(func(t *testing.T, body string) {
		text, err := shape.toJSON([]byte(body))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Errorf("%q became %s: %v", body, text, err)
		}
	})
}

func FuzzUpload(f *testing.F) {
	part := func(name, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	f.Add(part("description", "d") + part("data", "code") + "--b--\r\n")
	f.Add(part("data", "code") + part("yaml_path", "late") + "--b--\r\n")
	f.Add(part("data", "code\r\n--b") + "--b--")
	f.Add("--b\r\n\r\n--b\r\n--b--")
	f.Fuzz(func(t *testing.T, body string) {
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		upload, err := openUpload(httptest.NewRecorder(), request, func(name, _ string) bool { return name == "description" })
		if err == nil {
			_, err = io.Copy(io.Discard, upload)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add(int64(1), "hello", int64(0))
	f.Add(int64(7), "\x1b[31m\"red\" \\ ü\u2028<&>", int64(1_700_000_000_123_456))
	f.Fuzz(func(t *testing.T, sequence int64, text string, micros int64) {
		at := time.UnixMicro(micros % (1 << 52)).UTC() // in four-digit years
		line := execution.Line{Sequence: max(1, sequence), Time: at, Stream: execution.Stdout, Text: execution.CleanText(text)}
		want := wire.Event{Sequence: line.Sequence, Stream: string(line.Stream), Time: &wire.Time{Time: at}, Message: line.Text}
		var got wire.Event
		if err := json.Unmarshal(appendLine(nil, line), &got); err != nil {
			t.Fatalf("%q: %v", appendLine(nil, line), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the line (-want +got):\n%s", diff)
		}
	})
}
