package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newNotice(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "notice", Short: "Mail and webhooks that tell what happened",
		Long: "Mail and webhooks that tell what happened: that a registry credential fails its check, works\n" +
			"again or ends soon, that an execution ended, that a worker was lost. A channel is where\n" +
			"notices go; an organisation's admins manage its channels, operators those of the installation.",
	}
	c.AddCommand(newNoticeList(s), newNoticeAdd(s), newNoticeUpdate(s), newNoticeRemove(s), newNoticeTest(s), newNoticeDeliveries(s), newNoticeMine(s))
	return c
}

// findChannel finds one of the caller's by id or name.
func findChannel(ctx context.Context, api *client.Client, key string) (wire.NoticeChannel, error) {
	channels, err := api.NoticeChannels(ctx, "", false)
	if err != nil {
		return wire.NoticeChannel{}, err
	}
	var found []wire.NoticeChannel
	for _, channel := range channels {
		if channel.ID == key {
			return channel, nil
		}
		if strings.EqualFold(channel.Name, key) {
			found = append(found, channel)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return wire.NoticeChannel{}, fault.New(fault.NotFound, "channel_unknown", "there is no notice channel %.80q, or none that you may see", key).
			WithHint("`fairlead notice list` shows yours.")
	default:
		return wire.NoticeChannel{}, fault.InvalidField("channel", "channel_ambiguous", "%d notice channels are called %.80q", len(found), key).
			WithHint("Write the id: `fairlead notice list` shows it.")
	}
}

func newNoticeList(s *session) *cobra.Command {
	var organization string
	var installation bool
	c := &cobra.Command{Use: "list", Short: "List the channels that you manage"}
	c.Flags().StringVar(&organization, "org", "", "of this organisation alone")
	c.Flags().BoolVar(&installation, "installation", false, "of the installation alone (operators)")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		channels, err := api.NoticeChannels(c.Context(), organization, installation)
		if err != nil {
			return err
		}
		return list(c, *asJSON, channels, "There is no notice channel. Make one with `fairlead notice add`.",
			[]string{"NAME", "OWNER", "KIND", "TO", "EVENTS", "STATE", "LAST", "ID"},
			func(n wire.NoticeChannel) []string {
				owner, to, state, last := strconv.FormatInt(n.Owner, 10), n.WebhookURL, "enabled", ""
				if n.Owner == 0 {
					owner = "installation"
				}
				if n.Kind == "email" {
					to = strings.Join(n.Addresses, " ")
				}
				if !n.Enabled {
					state = "disabled"
				}
				if n.LastDelivery != nil {
					last = at(n.LastDelivery.At) + " " + n.LastDelivery.State
				}
				return []string{n.Name, owner, n.Kind, to, strings.Join(n.Events, " "), state, last, n.ID}
			})
	})
	return c
}

// noticeFlags are what a channel is made from or changed by.
type noticeFlags struct {
	emails, events, projects, statuses []string
	webhook                            string
}

func (f *noticeFlags) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.emails, "email", nil, "e-mail address; may be repeated")
	c.Flags().StringVar(&f.webhook, "webhook", "", "address that webhooks are sent to: https://…")
	c.Flags().StringSliceVar(&f.events, "events", nil, "credential.fails, credential.works, credential.expires, execution.ends; of the installation: worker.lost (default all)")
	c.Flags().StringSliceVar(&f.projects, "projects", nil, "executions of these projects alone, as OWNER/NAME or ids; --projects= is all")
	c.Flags().StringSliceVar(&f.statuses, "statuses", nil, "executions that end so: complete, error, stopped, crashed (default error and crashed)")
}

// tellSecret shows a signing secret that was just made.
func tellSecret(c *cobra.Command, channel wire.NoticeChannel) {
	if channel.Secret != "" {
		say(c.OutOrStdout(), "Signing secret, shown this once: %s\n", channel.Secret)
	}
}

func newNoticeAdd(s *session) *cobra.Command {
	var flags noticeFlags
	var organization string
	var installation bool
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a channel, of e-mail or of a webhook", Args: cobra.ExactArgs(1),
		Example: "  fairlead notice add ml-team --email ada@acme.example\n" +
			"  fairlead notice add chat --webhook https://chat.acme.example/hooks/fairlead --events execution.ends",
	}
	flags.add(c)
	c.Flags().StringVar(&organization, "org", "", "organisation that it belongs to (default the only one that you administer)")
	c.Flags().BoolVar(&installation, "installation", false, "a channel of the installation, for lost workers (operators)")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		draft := wire.NewNoticeChannel{
			Name: args[0], Installation: installation, Addresses: flags.emails, WebhookURL: flags.webhook,
			Events: flags.events, Projects: flags.projects, Statuses: flags.statuses,
		}
		if organization != "" {
			draft.Owner = organization
		}
		switch {
		case (len(flags.emails) > 0) == (flags.webhook != ""):
			return fault.InvalidField("kind", "kind_unknown", "a channel is of e-mail or of a webhook").
				WithHint("Give --email ADDRESS or --webhook https://…, and not both.")
		case flags.webhook != "":
			draft.Kind = "webhook"
		default:
			draft.Kind = "email"
		}
		created, err := api.CreateNoticeChannel(c.Context(), draft)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), created)
		}
		say(c.OutOrStdout(), "Made the notice channel %s, for %s. Try it: fairlead notice test %s\n", harmless(created.Name), strings.Join(created.Events, ", "), created.ID)
		tellSecret(c, created)
		return nil
	})
	return c
}

func newNoticeUpdate(s *session) *cobra.Command {
	var flags noticeFlags
	var name string
	var enabled, newSecret bool
	c := &cobra.Command{Use: "update CHANNEL", Short: "Change a channel", Args: cobra.ExactArgs(1)}
	flags.add(c)
	c.Flags().StringVar(&name, "name", "", "call it so")
	c.Flags().BoolVar(&enabled, "enabled", true, "send notices")
	c.Flags().BoolVar(&newSecret, "new-secret", false, "make another signing secret; the old one is worth nothing from then on")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		channel, err := findChannel(c.Context(), api, args[0])
		if err != nil {
			return err
		}
		change, given := wire.NoticeChannelChange{NewSecret: newSecret}, c.Flags().Changed
		if given("name") {
			change.Name = &name
		}
		if given("webhook") {
			change.WebhookURL = &flags.webhook
		}
		if given("enabled") {
			change.Enabled = &enabled
		}
		for flag, into := range map[string]struct {
			from []string
			to   **[]string
		}{
			"email": {flags.emails, &change.Addresses}, "events": {flags.events, &change.Events},
			"projects": {flags.projects, &change.Projects}, "statuses": {flags.statuses, &change.Statuses},
		} {
			if given(flag) {
				values := append([]string{}, into.from...) // none is a list too
				*into.to = &values
			}
		}
		changed, err := api.UpdateNoticeChannel(c.Context(), channel.ID, change)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), changed)
		}
		say(c.OutOrStdout(), "Changed the notice channel %s.\n", harmless(changed.Name))
		tellSecret(c, changed)
		return nil
	})
	return c
}

func newNoticeRemove(s *session) *cobra.Command {
	c := &cobra.Command{Use: "remove CHANNEL", Short: "Remove a channel, with what waits for it", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		channel, err := findChannel(c.Context(), api, args[0])
		if err != nil {
			return err
		}
		if err := api.DeleteNoticeChannel(c.Context(), channel.ID); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Removed the notice channel %s.\n", harmless(channel.Name))
		return nil
	})
	return c
}

func newNoticeTest(s *session) *cobra.Command {
	c := &cobra.Command{Use: "test CHANNEL", Short: "Send a test through a channel, and tell what came of it", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		channel, err := findChannel(c.Context(), api, args[0])
		if err != nil {
			return err
		}
		sent, err := api.TestNoticeChannel(c.Context(), channel.ID)
		if err != nil {
			return err
		}
		if *asJSON {
			if err := printJSON(c.OutOrStdout(), sent); err != nil {
				return err
			}
		}
		for _, m := range sent {
			to := m.Receiver
			if to == "" {
				to = channel.WebhookURL
			}
			if m.State != "delivered" {
				return fault.New(fault.Unavailable, m.Code, "the test did not reach %s: %s", to, m.Message)
			}
			if !*asJSON {
				say(c.OutOrStdout(), "Delivered to %s.\n", harmless(to))
			}
		}
		return nil
	})
	return c
}

func newNoticeDeliveries(s *session) *cobra.Command {
	c := &cobra.Command{Use: "deliveries CHANNEL", Short: "List what a channel was told, or is to be told", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		channel, err := findChannel(c.Context(), api, args[0])
		if err != nil {
			return err
		}
		deliveries, err := api.NoticeDeliveries(c.Context(), channel.ID)
		if err != nil {
			return err
		}
		return list(c, *asJSON, deliveries, "Nothing was told yet. Try it with `fairlead notice test`.",
			[]string{"MADE", "EVENT", "TITLE", "NOTICES", "TO", "STATE", "ATTEMPTS", "WHY", "ID"},
			func(m wire.NoticeDelivery) []string {
				return []string{at(m.CTime), m.Event, m.Title, strconv.Itoa(m.Notices), m.Receiver, m.State, strconv.Itoa(m.Attempts), m.Message, m.ID}
			})
	})
	return c
}

func newNoticeMine(s *session) *cobra.Command {
	var executions []string
	c := &cobra.Command{
		Use: "mine", Short: "Show or change what you are mailed of the executions that you start", Args: cobra.NoArgs,
		Example: "  fairlead notice mine --executions error,crashed\n  fairlead notice mine --executions=",
	}
	c.Flags().StringSliceVar(&executions, "executions", nil, "mail when one ends so: complete, error, stopped, crashed; --executions= is no mail")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		wish, err := api.NoticeWish(c.Context())
		if c.Flags().Changed("executions") {
			wish, err = api.SetNoticeWish(c.Context(), append([]string{}, executions...))
		}
		if err != nil {
			return err
		}
		switch {
		case *asJSON:
			return printJSON(c.OutOrStdout(), wish)
		case len(wish.Executions) == 0:
			say(c.OutOrStdout(), "You get no mail about your executions.\n")
		case wish.Address == "":
			say(c.OutOrStdout(), "You would get mail about executions that end as %s, but have no e-mail address; an operator gives you one.\n", strings.Join(wish.Executions, ", "))
		default:
			say(c.OutOrStdout(), "Mail goes to %s about executions that end as %s.\n", harmless(wish.Address), strings.Join(wish.Executions, ", "))
		}
		return nil
	})
	return c
}
