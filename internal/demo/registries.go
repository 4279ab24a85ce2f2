package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
)

// shelf is one private registry with the one user who may read it.
type shelf struct {
	kind     granttest.Kind
	user     string
	field    string // name of the secret's field
	password secret.Text
	pattern  string

	// repository holds the image that a step of the project names.
	repository string
	image      demoimage.Options

	registry *granttest.Registry
}

// shelves has a registry for each kind of credential.
func shelves() []*shelf {
	return []*shelf{
		{
			kind: granttest.Generic, user: "robot", field: "password", pattern: "registry.acme.example/ml/*", repository: "ml/train",
			image: demoimage.Options{User: "trainer", Layers: 2, LayerBytes: 2 << 20},
		},
		{
			kind: granttest.DockerHub, user: "acme", field: "access_token", pattern: "docker.io/acme/*", repository: "acme/report",
			image: demoimage.Options{Files: map[string][]byte{"etc/motd": []byte("accuracy 0.97\n")}},
		},
		{
			kind: granttest.JFrog, user: "reader", field: "access_token", pattern: "acme.jfrog.io/ml/*", repository: "ml/infer",
			image: demoimage.Options{},
		},
	}
}

const tag = "v1"

// open starts the registry and pushes its image.
func (s *shelf) open(ctx context.Context) (err error) {
	if s.registry, err = granttest.Start(granttest.Options{Kind: s.kind}); err != nil {
		return fmt.Errorf("starting the registry of kind %s: %w", s.kind, err)
	}
	s.password = newPassword()
	if s.kind == granttest.DockerHub {
		s.password = secret.New("dckr_pat_" + s.password.Reveal())
	}
	s.registry.AddUser(s.user, s.password.Reveal(), granttest.Pull(s.repository))
	image, err := demoimage.New(s.image)
	if err != nil {
		return fmt.Errorf("making the image of %s: %w", s.repository, err)
	}
	if _, err := s.registry.Push(ctx, s.repository, tag, image); err != nil {
		return fmt.Errorf("pushing the image of %s: %w", s.repository, err)
	}
	return nil
}

func (s *shelf) name() string { return s.registry.Host() + "/" + s.repository + ":" + tag }

// settings tell the server how to reach the registry, as an admin with private
// endpoints would.
func (s *shelf) settings(dir string, config *app.RegistryConfig) error {
	for i, rule := range s.registry.Rules() {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.pem", s.kind, i))
		if err := os.WriteFile(file, rule.CA, 0o600); err != nil {
			return fmt.Errorf("writing the certificates of a registry: %w", err)
		}
		config.Addresses = append(config.Addresses, rule.Host+"="+rule.Address)
		config.CAs = append(config.CAs, rule.Host+"="+file)
	}
	return nil
}

func closeShelves(all []*shelf) error {
	var errs []error
	for _, s := range all {
		if s.registry != nil {
			errs = append(errs, s.registry.Close())
		}
	}
	return errors.Join(errs...)
}
