package execution

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// Input is a set of files that a step's command finds below its inputs.
type Input struct {
	Name  string      `json:"name"`
	Files []InputFile `json:"files"`

	// OnDemand are not downloaded: the command is told of them and fetches what
	// it wants.
	OnDemand bool `json:"on_demand,omitempty"`
}

// InputFile is one file of an input.
type InputFile struct {
	// URL is http, https, s3, gs or azure, or datum:// with a datum's id.
	URL string `json:"url"`

	// Path is where it is below the input's directory; "" is as the URL's last
	// part, or what the server calls it.
	Path string `json:"path,omitempty"`

	// SHA256 and Size are known of a datum.
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// inputSchemes are where files may come from.
var inputSchemes = []string{"http", "https", "s3", "gs", "azure", "datum"}

// Bounds of inputs.
const (
	inputFilesMost = 10_000
	inputURLMost   = 8192
)

// inputs are the step's with the given URLs in place of their defaults. The
// error names every input that is unknown, missing or wrong.
func (s *Service) inputs(ctx context.Context, actor account.Actor, project account.Project, step *valohaiyaml.Step, given map[string][]string) ([]Input, error) {
	var errs []error
	for name := range given {
		if !slices.ContainsFunc(step.Inputs, func(input valohaiyaml.Input) bool { return input.Name == name }) {
			errs = append(errs, fault.InvalidField("inputs", "input_unknown", "the step %s has no input %.80q", step.Name, name).
				WithHint("%s", inputNames(step)))
		}
	}
	var inputs []Input
	for _, declared := range step.Inputs {
		urls, overridden := given[declared.Name]
		if !overridden {
			urls = declared.Default
		}
		if len(urls) == 0 && !declared.Optional {
			errs = append(errs, fault.InvalidField("inputs", "input_missing", "the input %.80q has no file and no default", declared.Name).
				WithHint("Give it with --%s=URL, or -i %s=URL.", declared.Name, declared.Name))
		}
		input := Input{Name: declared.Name, Files: make([]InputFile, 0, len(urls)), OnDemand: declared.Download == "on-demand"}
		for _, text := range urls {
			file, err := s.inputFile(ctx, actor, project, declared, text)
			errs = append(errs, err)
			input.Files = append(input.Files, file)
		}
		if declared.Filename != "" && len(input.Files) == 1 {
			input.Files[0].Path = declared.Filename
		}
		inputs = append(inputs, input)
	}
	return inputs, fault.Join(errs...)
}

func inputNames(step *valohaiyaml.Step) string {
	if len(step.Inputs) == 0 {
		return "It has no inputs at all."
	}
	var names []string
	for _, input := range step.Inputs {
		names = append(names, input.Name)
	}
	return "It has " + strings.Join(names, ", ") + "."
}

// inputFile reads one URL of an input.
func (s *Service) inputFile(ctx context.Context, actor account.Actor, project account.Project, declared valohaiyaml.Input, text string) (InputFile, error) {
	wrong := func(format string, args ...any) *fault.Error {
		return fault.InvalidField("inputs", "input_url", "the input %.80q: %s", declared.Name, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > inputURLMost || u.Host == "":
		return InputFile{}, wrong("%.80q is no URL of a file", withoutQuery(text)).WithHint("Write it as https://HOST/PATH, s3://BUCKET/KEY, gs://BUCKET/KEY, azure://ACCOUNT/CONTAINER/BLOB or datum://ID.")
	case !slices.Contains(inputSchemes, u.Scheme):
		return InputFile{}, wrong("files do not come by %.20q", u.Scheme).WithHint("Use one of %s.", strings.Join(inputSchemes, ", "))
	case u.User != nil:
		return InputFile{}, wrong("its URL holds a user name, which would be shown").WithHint("Let the worker log in by itself, or use a signed URL.")
	case strings.ContainsAny(u.Path, "*?") && u.Scheme != "http" && u.Scheme != "https":
		return InputFile{}, wrong("%.80q has a wildcard, and each file must be named", withoutQuery(text)).WithHint("Give the URL of each file.")
	}
	file := InputFile{URL: text}
	dir := path.Dir(strings.TrimPrefix(u.Path, "/"))
	if u.Scheme == "datum" {
		datum, err := s.Datum(ctx, actor, u.Host)
		if err != nil {
			return InputFile{}, renameField(err, declared.Name)
		}
		from, err := s.projects.Project(ctx, actor, datum.ProjectID)
		switch {
		case err != nil:
			return InputFile{}, err
		case from.ID != project.ID && from.Owner != project.Owner:
			return InputFile{}, wrong("the datum %s is of the project %s, which has another owner", datum.ID, from.Name).
				WithHint("Copy the file to where this project may read it.")
		case datum.IsPurged():
			return InputFile{}, wrong("the datum %s (%s) was purged", datum.ID, datum.Name).WithHint("Run the step again that made it.")
		}
		file.Path, file.SHA256, file.Size = path.Base(datum.Name), datum.SHA256, datum.Size
		dir = path.Dir(datum.Name)
		if declared.KeepDirectories != "full" || dir == "." {
			return file, nil
		}
		file.Path = path.Join(dir, file.Path)
		return file, nil
	}
	if declared.KeepDirectories == "full" && dir != "." && validDatumName(path.Join(dir, "x")) == nil {
		file.Path = path.Join(dir, path.Base(u.Path))
	}
	return file, nil
}

// withoutQuery is an address without what may be a signature.
func withoutQuery(text string) string {
	text, _, _ = strings.Cut(text, "?")
	return text
}

// renameField tells for which input a datum was looked for.
func renameField(err error, input string) error {
	f := fault.From(err)
	if f.Kind != fault.NotFound {
		return err
	}
	return fault.InvalidField("inputs", f.Code, "the input %.80q: %s", input, f.Message).WithHint("%s", f.Hint)
}
