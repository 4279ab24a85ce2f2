package api

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func (d *door) listTokens(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Token], err error) {
	tokens, err := d.config.Accounts.Tokens(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(tokens, v.token)), nil
}

func (d *door) createToken(ctx context.Context, v *visit, in *struct{ Body wire.NewToken }) (wire.CreatedToken, error) {
	token, text, err := d.config.Accounts.CreateToken(ctx, v.actor, in.Body.Name, in.Body.ExpiresAt.Or())
	return v.createdToken(token, text), err
}

type tokenKey struct {
	Token string `path:"token" doc:"The token's id, not its text"`
}

func (d *door) deleteToken(ctx context.Context, v *visit, in *tokenKey) error {
	return d.config.Accounts.DeleteToken(ctx, v.actor, in.Token)
}

func (d *door) listWorkerTokens(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Token], err error) {
	tokens, err := d.config.Accounts.WorkerTokens(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(tokens, v.token)), nil
}

func (d *door) createWorkerToken(ctx context.Context, v *visit, in *struct{ Body wire.NewWorkerToken }) (wire.CreatedToken, error) {
	token, text, err := d.config.Accounts.CreateWorkerToken(ctx, v.actor, in.Body.Name, in.Body.Environment, in.Body.ExpiresAt.Or())
	return v.createdToken(token, text), err
}

func (d *door) listCacheTokens(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Token], err error) {
	tokens, err := d.config.Accounts.CacheTokens(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(tokens, v.token)), nil
}

func (d *door) createCacheToken(ctx context.Context, v *visit, in *struct{ Body wire.NewToken }) (wire.CreatedToken, error) {
	token, text, err := d.config.Accounts.CreateCacheToken(ctx, v.actor, in.Body.Name, in.Body.ExpiresAt.Or())
	return v.createdToken(token, text), err
}

// deleteMachineToken ends a worker's or a cache's token.
func (d *door) deleteMachineToken(ctx context.Context, v *visit, in *tokenKey) error {
	if err := v.actor.MayOperate(); err != nil {
		return err
	}
	return d.config.Accounts.DeleteToken(ctx, v.actor, in.Token)
}

func (v *visit) token(token account.Token) wire.Token {
	kind := "tokens"
	switch {
	case token.IsWorker():
		kind = "worker-tokens"
	case token.Cache:
		kind = "cache-tokens"
	}
	return wire.Token{
		ID: token.ID, Name: token.Name, CTime: wire.NewTime(token.CreatedAt),
		ExpiresAt: wire.NewTime(token.ExpiresAt), LastUsedAt: wire.NewTime(token.LastUsedAt),
		Environment: token.EnvironmentID, URL: v.resource(kind, token.ID),
	}
}

// createdToken shows the token's text, this once.
func (v *visit) createdToken(token account.Token, text secret.Text) wire.CreatedToken {
	return wire.CreatedToken{Token: v.token(token), Text: text.Reveal()}
}
