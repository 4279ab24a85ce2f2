package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

const (
	fairlead = "fairlead"
	binary   = "bin/fairlead"
)

// startFairlead starts the real program with a cache, and makes a project with a
// credential for the registry; clients log in with a token.
func startFairlead(ctx context.Context, m *trial.Meter, j job) (endpoint, error) {
	address, err := freeAddress()
	if err != nil {
		return endpoint{}, err
	}
	c := exec.CommandContext(ctx, binary, "serve", "--listen", address, "--worker=false", "--log-level", "warn",
		"--data-dir", filepath.Join(j.Dir, "data"), "--cache", "file://"+filepath.Join(j.Dir, "cache"),
		"--registry-address", j.Host+"="+j.Host, "--registry-ca", j.Host+"="+j.CA)
	if err := m.StartServer(ctx, j.Dir, address, c); err != nil {
		return endpoint{}, err
	}
	password, err := firstPassword(ctx, filepath.Join(j.Dir, trial.Log))
	if err != nil {
		return endpoint{}, err
	}
	anonymous, err := client.New(client.Config{Server: "http://" + address})
	if err != nil {
		return endpoint{}, err
	}
	got, err := anonymous.SignIn(ctx, wire.GetToken{Username: "admin", Password: wire.NewPassword(password), Name: "bench"})
	if err != nil {
		return endpoint{}, err
	}
	api, err := client.New(client.Config{Server: "http://" + address, Token: secret.New(got.Token)})
	if err != nil {
		return endpoint{}, err
	}
	if _, err := api.CreateProject(ctx, wire.NewProject{Name: "bench", Owner: "main"}); err != nil {
		return endpoint{}, err
	}
	_, err = api.CreateCredential(ctx, wire.CredentialChange{
		Type: "generic", ImagePatterns: []string{j.Host + "/" + far.Repository},
		Configuration: map[string]string{"username": far.User, "password": far.Password},
	})
	login := base64.StdEncoding.EncodeToString([]byte("main/bench:" + got.Token))
	return endpoint{Address: address, Path: "/v2/" + j.Host + "/" + far.Repository, Authorization: "Basic " + login}, err
}

// firstPassword waits until the server has said the first user's.
func firstPassword(ctx context.Context, log string) (password string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			return "", err
		}
		for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
			if text, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
				password = text
			}
			if strings.HasPrefix(lines.Text(), "Serving on ") {
				return password, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.New("the server did not say that it serves")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
