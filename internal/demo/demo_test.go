package demo_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/demo"
)

func TestTheDemoTellsTheWholeStory(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := demo.Run(ctx, demo.Config{
		Out: &out, Harmless: func(text string) string { return text }, Once: true,
		Listen: "127.0.0.1:0", Version: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, words := range []string{
		"Pulling image: registry.acme.example/ml/train:v1", "Image digest: sha256:", "epoch 3: loss 0.3",
		"accuracy 0.97", "inferring in /valohai/repository",
		"may not even see them",
		"personal projects can never use an organisation's registry credentials",
		"no registry credential of the organisation acme covers registry.acme.example/mll/train:v1", "Almost: the pattern registry.acme.example/ml/*",
		`does not accept user "robot" with this secret`,
		"labelled 12 images", "with this worker's own role", "exported", "embedded", "evaluated",
		"has no image registry.acme.example/ml/train:v9", "lets it not pull docker.io/acme/secret", "there is no host registry.does-not-exist.invalid",
		"the secret of user \"reader\" has expired", "0 of 200 pulls left", "the secret access key does not belong to it",
		"is not allowed the action ecr:BatchGetImage", "lacks the permission artifactregistry.repositories.downloadArtifacts",
		"lets nobody in from the address 203.0.113.7", "does not accept the client secret", "answered 503",
		"Image is on this worker already", "Everything came out right",
	} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("the demo does not say %q", words)
		}
	}
	if strings.Contains(out.String(), "dckr_pat_") || strings.Contains(out.String(), "not-the-password") ||
		strings.Contains(out.String(), "PRIVATE KEY") || strings.Contains(out.String(), "abc8Q~") || strings.Contains(out.String(), "mistyped ") {
		t.Error("the demo prints a secret")
	}
}
