package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

// tokenKind is what differs between users' and workers' tokens.
type tokenKind struct {
	use, short, empty string
	ofWorkers         bool

	create func(*client.Client, context.Context, wire.NewWorkerToken) (wire.CreatedToken, error)
	list   func(*client.Client, context.Context) ([]wire.Token, error)
	delete func(*client.Client, context.Context, string) error
}

func newToken(s *session) *cobra.Command {
	return newTokens(s, tokenKind{
		use: "token", short: "Your API tokens", empty: "You have no token.",
		create: func(api *client.Client, ctx context.Context, draft wire.NewWorkerToken) (wire.CreatedToken, error) {
			return api.CreateToken(ctx, wire.NewToken{Name: draft.Name, ExpiresAt: draft.ExpiresAt})
		}, list: (*client.Client).Tokens, delete: (*client.Client).DeleteToken,
	})
}

func newWorkerToken(s *session) *cobra.Command {
	return newTokens(s, tokenKind{
		use: "worker-token", short: "Workers' tokens (operators only)", empty: "There is no worker's token.", ofWorkers: true,
		create: (*client.Client).CreateWorkerToken, list: (*client.Client).WorkerTokens, delete: (*client.Client).DeleteWorkerToken,
	})
}

func newCacheToken(s *session) *cobra.Command {
	return newTokens(s, tokenKind{
		use: "token", short: "Tokens of pull-through caches apart from the server (operators only)", empty: "There is no cache's token.",
		create: func(api *client.Client, ctx context.Context, draft wire.NewWorkerToken) (wire.CreatedToken, error) {
			return api.CreateCacheToken(ctx, wire.NewToken{Name: draft.Name, ExpiresAt: draft.ExpiresAt})
		}, list: (*client.Client).CacheTokens, delete: (*client.Client).DeleteCacheToken,
	})
}

func newTokens(s *session, kind tokenKind) *cobra.Command {
	c := &cobra.Command{Use: kind.use, Short: kind.short}
	c.AddCommand(newTokenCreate(s, kind), newTokenList(s, kind), newTokenDelete(s, kind))
	return c
}

func newTokenCreate(s *session, kind tokenKind) *cobra.Command {
	var life time.Duration
	var draft wire.NewWorkerToken
	c := &cobra.Command{Use: "create NAME", Short: "Make a token; it is shown this once", Args: cobra.ExactArgs(1)}
	c.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, such as 720h (default: it does not expire)")
	if kind.ofWorkers {
		c.Flags().StringVar(&draft.Environment, "environment", "", "environment that the worker takes executions from (default: the default one)")
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		draft.Name = args[0]
		if life != 0 {
			draft.ExpiresAt = wire.NewTime(time.Now().Add(life))
		}
		created, err := kind.create(api, c.Context(), draft)
		if err != nil {
			return err
		}
		say(c.ErrOrStderr(), "Keep it safe: it is not shown again.\n")
		say(c.OutOrStdout(), "%s\n", created.Text)
		return nil
	})
	return c
}

func newTokenList(s *session, kind tokenKind) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the tokens"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := kind.list(api, c.Context())
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, kind.empty, []string{"ID", "NAME", "MADE", "EXPIRES", "LAST USED"},
			func(t wire.Token) []string {
				return []string{t.ID, t.Name, at(t.CTime), at(t.ExpiresAt), at(t.LastUsedAt)}
			})
	})
	return c
}

func newTokenDelete(s *session, kind tokenKind) *cobra.Command {
	c := &cobra.Command{Use: "delete ID", Short: "End a token at once", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := kind.delete(api, c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "The token is no longer good.\n")
		return nil
	})
	return c
}
