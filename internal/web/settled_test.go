package web_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
)

// settlement is a database with people in it, and their tokens by name. A password is
// made to be slow to check, so that they settle once for all houses.
type settlement struct {
	database []byte
	tokens   map[string]secret.Text
}

var settled = sync.OnceValues(settle)

func settle() (_ settlement, err error) {
	dir, err := os.MkdirTemp("", "settled")
	if err != nil {
		return settlement{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, path := context.Background(), filepath.Join(dir, "fairlead.db")
	kept, err := store.Open(ctx, path)
	if err != nil {
		return settlement{}, err
	}
	s := settler{ctx: ctx, Service: account.NewService(kept, func() time.Time { return time.Now().UTC() })}
	tokens := s.people()
	if err := errors.Join(s.err, kept.Close()); err != nil {
		return settlement{}, err
	}
	database, err := os.ReadFile(path)
	return settlement{database, tokens}, err
}

// settler remembers the first thing that failed.
type settler struct {
	*account.Service
	ctx context.Context
	err error
}

func (s *settler) must(err error) { s.err = errors.Join(s.err, err) }

func (s *settler) token(name string, password secret.Text) (secret.Text, account.Actor) {
	_, text, err := s.SignIn(s.ctx, name, password, "test", "")
	s.must(err)
	actor, err := s.Authenticate(s.ctx, text, "")
	s.must(err)
	return text, actor
}

// people makes everybody and their organisations.
func (s *settler) people() map[string]secret.Text {
	first, err := s.Bootstrap(s.ctx, "root", "acme")
	s.must(err)
	_, root := s.token("root", first)
	s.must(s.SetPassword(s.ctx, root, "root", passwordOf("root")))
	for _, name := range []string{"ada", "ben", "eve"} {
		_, err := s.CreateUser(s.ctx, root, account.NewUser{Username: name, Password: passwordOf(name)})
		s.must(err)
	}
	_, err = s.SetMember(s.ctx, root, "acme", "ada", account.Admin)
	s.must(err)
	_, err = s.SetMember(s.ctx, root, "acme", "ben", account.Member)
	s.must(err)
	_, err = s.CreateOrganization(s.ctx, root, "evil")
	s.must(err)
	_, root = s.token("root", passwordOf("root"))
	_, err = s.SetMember(s.ctx, root, "evil", "eve", account.Admin)
	s.must(err)
	s.must(s.RemoveMember(s.ctx, root, "evil", "root"))
	tokens := make(map[string]secret.Text)
	for _, name := range []string{"root", "ada", "ben", "eve"} {
		tokens[name], _ = s.token(name, passwordOf(name))
	}
	_, tokens["worker"], err = s.CreateWorkerToken(s.ctx, root, "worker-1", "", time.Time{})
	s.must(err)
	return tokens
}
