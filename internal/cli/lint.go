package cli

import (
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// lintedImage is an image of a file, and which credential would serve it.
type lintedImage struct {
	Image      string `json:"image"`
	Where      string `json:"where"`
	Line       int    `json:"line"`
	Credential string `json:"credential,omitempty"`
}

func newLint(s *session) *cobra.Command {
	var strict, schema bool
	var format string
	c := &cobra.Command{
		Use:   "lint [FILE]",
		Short: "Tell every mistake in a valohai.yaml, and which credential serves each image",
		Long: "Tell every mistake in a valohai.yaml (default: ./valohai.yaml; - for standard input) with line\n" +
			"and column. If you are signed in, it is also told which registry credential would serve each\n" +
			"image of the file. The exit code is 2 if there is an error.\n" +
			"--schema prints the format as a JSON Schema for editors; a server has it at /schema/valohai-yaml.json.",
		Args: cobra.MaximumNArgs(1),
	}
	project := projectFlag(c)
	asJSON := jsonFlag(c)
	c.Flags().BoolVar(&strict, "strict-warnings", false, "fail on warnings too")
	c.Flags().StringVar(&format, "format", "text", "text, json or sarif")
	c.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of the format, and look at no file")
	c.RunE = func(c *cobra.Command, args []string) error {
		if schema {
			return printJSON(c.OutOrStdout(), valohaiyaml.JSONSchema())
		}
		if *asJSON {
			format = "json"
		}
		name := configName
		if len(args) == 1 {
			name = args[0]
		}
		text, err := readConfig(s, name)
		if err != nil {
			return err
		}
		file, findings := parseAlone(name, text)
		switch format {
		case "text":
			printLint(c, name, findings, s.lintImages(c, file, *project))
		case "json":
			err = printJSON(c.OutOrStdout(), map[string]any{"file": name, "findings": findings, "images": s.lintImages(c, file, *project)})
		case "sarif":
			err = printSARIF(c.OutOrStdout(), name, findings)
		default:
			err = fault.InvalidField("format", "choice", "%q is none of text, json and sarif", format)
		}
		switch {
		case err != nil:
			return err
		case findings.Count(valohaiyaml.Error) > 0, strict && findings.Count(valohaiyaml.Warning) > 0:
			return exitCode(exitUsage)
		default:
			return nil
		}
	}
	return c
}

// parseAlone is valohaiyaml.Parse for a program that does nothing beside: it
// collects no garbage meanwhile, unless there is a lot of it. For a large file
// that would be a quarter of the time.
func parseAlone(name string, text []byte) (*valohaiyaml.File, valohaiyaml.Findings) {
	const lot = 256 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(lot))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	return valohaiyaml.Parse(name, text)
}

func readConfig(s *session, name string) (text []byte, err error) {
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(s.streams.In, valohaiyaml.MaxSize+1))
	} else {
		text, err = os.ReadFile(filepath.Clean(name))
	}
	if err != nil {
		return nil, fault.InvalidField("file", "config_unreadable", "%v", err).
			WithHint("Name a valohai.yaml: `fairlead lint FILE`.")
	}
	return text, nil
}

func printLint(c *cobra.Command, name string, findings valohaiyaml.Findings, images []lintedImage) {
	out := c.OutOrStdout()
	for _, finding := range findings {
		say(out, "%s\n", harmless(finding.String()))
	}
	for _, image := range images {
		say(out, "%s:%d: image %s of %s: %s\n", harmless(name), image.Line, harmless(image.Image), harmless(image.Where), harmless(image.Credential))
	}
	say(out, "%s: %d errors, %d warnings\n", harmless(name), findings.Count(valohaiyaml.Error), findings.Count(valohaiyaml.Warning))
}

// lintImages are the images of the file with the credential of each. Without a
// server the file is still linted, so what keeps it from answering is told once
// and is no failure.
func (s *session) lintImages(c *cobra.Command, file *valohaiyaml.File, project string) []lintedImage {
	if file == nil {
		return nil
	}
	var images []lintedImage
	for _, image := range file.Images() {
		images = append(images, lintedImage{Image: image.Name, Where: image.Where, Line: image.Line})
	}
	api, err := s.client()
	if err == nil && len(images) > 0 {
		err = explainAll(c, api, project, images)
	}
	if err != nil {
		say(c.ErrOrStderr(), "Which credential serves the images is not known: %s\n", harmless(fault.From(err).Sentence()))
		for i := range images {
			images[i].Credential = "credential not known"
		}
	}
	return images
}
