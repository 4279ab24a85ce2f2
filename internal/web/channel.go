package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/secret"
)

// channelOwner is whose channels a page is about.
type channelOwner struct {
	Organization account.Organization // the zero one: the installation
	Key          string               // of the organisation
	Path, Title  string
}

// IsInstallation reports whether it is no organisation.
func (o channelOwner) IsInstallation() bool { return o.Organization.ID == 0 }

func (v *visit) channelOwner() channelOwner {
	if v.path("organization") == "" {
		return channelOwner{Path: "/notices/", Title: "Notices of the installation"}
	}
	at := v.organization.Organization
	return channelOwner{at, strconv.FormatInt(at.ID, 10), v.organizationPath() + "settings/", "Settings of " + at.Name}
}

type channelsData struct {
	Owner    channelOwner
	Channels []channelView
	Mails    bool
}

// channelView is a channel as the pages show it.
type channelView struct {
	notice.Channel
	Path string
}

// Kind is its way, for people.
func (c channelView) Kind() string {
	if c.Way == notice.Email {
		return "e-mail"
	}
	return "webhook"
}

// Told are the events that it tells of.
func (c channelView) Told() string {
	var words []string
	for _, event := range c.Events {
		words = append(words, eventWords[event])
	}
	return strings.Join(words, ", ")
}

// Good is the class of what came of the last attempt.
func (c channelView) Good() string { return goodOf(c.Last.State) }

// Words are what came of the last attempt.
func (c channelView) Words() string { return deliveryWords[c.Last.State] }

func goodOf(state notice.MessageState) string {
	return map[notice.MessageState]string{notice.Delivered: "good", notice.GivenUp: "bad", notice.Waiting: "warn"}[state]
}

// Words for people.
var (
	deliveryWords = map[notice.MessageState]string{notice.Delivered: "delivered", notice.GivenUp: "given up", notice.Waiting: "waits"}
	eventWords    = map[notice.Event]string{
		notice.CredentialFails: "a registry credential fails its check", notice.CredentialWorks: "one works again",
		notice.CredentialExpires: "the secret of one ends soon", notice.ExecutionEnds: "an execution ends", notice.WorkerLost: "a worker is lost",
		notice.Test: "a test", notice.Digest: "several notices together",
	}
)

func (v *visit) channelView(c notice.Channel) channelView {
	return channelView{c, v.channelOwner().Path + "channels/" + c.ID + "/"}
}

func (s *site) listChannels(v *visit) (answer, error) {
	owner := v.channelOwner()
	channels, err := s.config.Channels.List(v.ctx(), v.actor, owner.Key, owner.IsInstallation())
	if err != nil {
		return nil, err
	}
	data := channelsData{Owner: owner, Mails: s.config.Outbox.Mails()}
	for _, c := range channels {
		data.Channels = append(data.Channels, v.channelView(c))
	}
	return page{file: "channels.html", title: owner.Title, data: data}, nil
}

// channelForm is what a channel is made from, or changed by.
type channelForm struct {
	Action, Way      string
	Channel          string // its id; "": a new one
	Events, Statuses boxes
	ProjectsHint     string
	Installation     bool // which has no executions
}

// IsEmail reports whether it is about addresses, and not about a webhook.
func (c channelForm) IsEmail() bool { return c.Way == string(notice.Email) }

// channelForm asks for what is in f, or else for what the channel has.
func (v *visit) channelForm(f *form, action string, c notice.Channel) channelForm {
	events, wanted := make([]string, len(c.Events)), c.Statuses
	for i, event := range c.Events {
		events[i] = string(event)
	}
	if f != nil {
		events, wanted = f.all("events"), f.all("statuses")
	}
	owner := v.channelOwner()
	asked := channelForm{
		Action: action, Way: string(c.Way), Channel: c.ID, Installation: owner.IsInstallation(),
		Events:   boxes{Name: "events", Label: "Tell when"},
		Statuses: statusBoxes("statuses", "Of executions, those that end as", wanted),
	}
	asked.ProjectsHint = fmt.Sprintf("Of these projects alone, one a line, as %s/NAME. Empty: of all.", owner.Organization.Name)
	for _, event := range notice.EventsOf(owner.Organization.ID) {
		asked.Events.Boxes = append(asked.Events.Boxes, box{string(event), eventWords[event], slices.Contains(events, string(event))})
	}
	return asked
}

type newChannelData struct {
	Owner channelOwner
	Form  channelForm
}

func (s *site) newChannelPage(v *visit, f *form, way notice.Way) page {
	owner := v.channelOwner()
	draft := notice.Channel{Way: way, Events: notice.EventsOf(owner.Organization.ID), Statuses: notice.DefaultStatuses()}
	return page{
		file: "newchannel.html", title: "New notice channel", form: f,
		data: newChannelData{owner, v.channelForm(f, owner.Path+"channels/", draft)},
	}
}

func (s *site) showNewChannel(v *visit) (answer, error) {
	if owner := v.channelOwner(); !owner.IsInstallation() { // the route lets operators alone in there
		if err := v.actor.MayAdminister(owner.Organization); err != nil {
			return nil, err
		}
	}
	return s.newChannelPage(v, nil, wayOf(v.r.URL.Query().Get("way"))), nil
}

func wayOf(text string) notice.Way {
	if text == string(notice.Email) {
		return notice.Email
	}
	return notice.Webhook
}

var channelFields = []string{"name", "addresses", "url", "events", "statuses", "projects"}

// signingData is a channel whose signing secret is shown this once.
type signingData struct {
	channelView
	Secret string
}

func (v *visit) signingPage(c notice.Channel, signing secret.Text) page {
	return page{file: "signing.html", title: c.Name, data: signingData{v.channelView(c), signing.Reveal()}, inPlace: true}
}

func (s *site) createChannel(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	owner, way := v.channelOwner(), wayOf(f.get("way"))
	var made notice.Channel
	var signing secret.Text
	if len(f.all("events")) == 0 { // to the service, none are all that there are
		err = fault.InvalidField("events", "blank", "say at least one event")
	} else {
		made, signing, err = s.config.Channels.Create(v.ctx(), v.actor, notice.Draft{
			Organization: owner.Key, Installation: owner.IsInstallation(), Name: f.get("name"), Way: way, Addresses: f.lines("addresses"), URL: f.get("url"),
			Events: f.events(), Projects: f.lines("projects"), Statuses: f.all("statuses"),
		})
	}
	if err != nil {
		f.forget("url") // what is behind its host may be a secret
		return v.refuse(f, err, s.newChannelPage(v, f, way), channelFields...)
	}
	if way == notice.Webhook {
		return v.signingPage(made, signing), nil
	}
	return seeOther{to: v.channelView(made).Path, said: "The channel is made. Test it now."}, nil
}

func (f *form) events() []notice.Event {
	var events []notice.Event
	for _, name := range f.all("events") {
		events = append(events, notice.Event(name))
	}
	return events
}

// channel is the one that the address names, of the owner that it names.
func (s *site) channel(v *visit) (notice.Channel, error) {
	found, err := s.config.Channels.Get(v.ctx(), v.actor, v.path("channel"))
	if err == nil && found.OrganizationID != v.channelOwner().Organization.ID {
		err = fault.New(fault.NotFound, "channel_unknown", "there is no such notice channel here")
	}
	return found, err
}

type channelData struct {
	channelView
	Form       channelForm
	Deliveries []deliveryView
	Pager      pager
	Owner      channelOwner
}

// deliveryView is what a channel was told, or is to be told.
type deliveryView struct{ notice.Message }

// Good is the class of its state.
func (d deliveryView) Good() string { return goodOf(d.State) }

// Words are its state.
func (d deliveryView) Words() string { return deliveryWords[d.State] }

// What is what it tells.
func (d deliveryView) What() string {
	switch {
	case d.IsDigest:
		return fmt.Sprintf("%d notices together", d.Count())
	case len(d.Notices) > 0:
		return d.Notices[0].Title
	}
	return ""
}

// channelPage shows a channel with what was typed in f, or with what it has.
func (s *site) channelPage(v *visit, f *form) (page, error) {
	found, err := s.channel(v)
	if err != nil {
		return page{}, err
	}
	offset := v.offset()
	messages, count, err := s.config.Channels.Deliveries(v.ctx(), v.actor, found.ID, perPage, offset)
	if err != nil {
		return page{}, err
	}
	shown := v.channelView(found)
	data := channelData{
		channelView: shown, Form: v.channelForm(f, shown.Path, found), Pager: pagerOf(v.r.URL, offset, len(messages), count),
		Owner: v.channelOwner(),
	}
	for _, m := range messages {
		data.Deliveries = append(data.Deliveries, deliveryView{m})
	}
	if f == nil {
		projects, err := s.projectKeys(v, found.Projects)
		if err != nil {
			return page{}, err
		}
		f = formOf(map[string]string{"name": found.Name, "addresses": strings.Join(found.Addresses, "\n"), "projects": strings.Join(projects, "\n")})
	}
	return page{file: "channel.html", title: found.Name, data: data, form: f}, nil
}

// projectKeys are projects as people write them; one that is gone is its id.
func (s *site) projectKeys(v *visit, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	projects, err := s.config.Accounts.Projects(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(projects))
	for _, p := range projects {
		names[p.ID] = p.Owner.Name + "/" + p.Name
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = cmp.Or(names[id], id)
	}
	return keys, nil
}

func (s *site) showChannel(v *visit) (answer, error) {
	shown, err := s.channelPage(v, nil)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// refuseChannel says on the channel's page what is wrong.
func (s *site) refuseChannel(v *visit, f *form, err error) (answer, error) {
	again, failed := s.channelPage(v, f)
	if failed != nil {
		return nil, failed
	}
	if f == nil {
		f = again.form
	}
	return v.refuse(f, err, again, channelFields...)
}

func (s *site) changeChannel(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	found, err := s.channel(v)
	if err != nil {
		return nil, err
	}
	name, addresses, at := f.get("name"), f.lines("addresses"), f.get("url")
	events, projects, statuses := f.events(), f.lines("projects"), f.all("statuses")
	change := notice.Change{Name: &name, Events: &events, Projects: &projects, Statuses: &statuses}
	if found.Way == notice.Email {
		change.Addresses = &addresses
	} else if at != "" { // the page does not show the one that it has
		change.URL = &at
	}
	if _, _, err := s.config.Channels.Update(v.ctx(), v.actor, found.ID, change); err != nil {
		f.forget("url")
		return s.refuseChannel(v, f, err)
	}
	return seeOther{to: v.channelView(found).Path, said: "The channel is changed."}, nil
}

func (s *site) testChannel(v *visit) (answer, error) {
	found, err := s.channel(v)
	if err != nil {
		return nil, err
	}
	messages, err := s.config.Outbox.Test(v.ctx(), v.actor, found.ID)
	if err != nil {
		return s.refuseChannel(v, nil, err)
	}
	for _, m := range messages {
		if m.State != notice.Delivered {
			return s.refuseChannel(v, nil, fault.New(fault.Unavailable, m.Code, "The test did not arrive: %s", m.Sentence))
		}
	}
	return seeOther{to: v.channelView(found).Path, said: "The test was delivered."}, nil
}

func (s *site) pauseChannel(v *visit) (answer, error) {
	return s.enableChannel(v, false, "The channel is paused: what happens meanwhile is not told.")
}

func (s *site) resumeChannel(v *visit) (answer, error) {
	return s.enableChannel(v, true, "The channel tells again.")
}

func (s *site) enableChannel(v *visit, enabled bool, said string) (answer, error) {
	found, err := s.channel(v)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.config.Channels.Update(v.ctx(), v.actor, found.ID, notice.Change{Enabled: &enabled}); err != nil {
		return s.refuseChannel(v, nil, err)
	}
	return seeOther{to: v.channelView(found).Path, said: said}, nil
}

func (s *site) renewChannelSecret(v *visit) (answer, error) {
	found, err := s.channel(v)
	if err != nil {
		return nil, err
	}
	changed, signing, err := s.config.Channels.Update(v.ctx(), v.actor, found.ID, notice.Change{NewSecret: true})
	if err != nil {
		return s.refuseChannel(v, nil, err)
	}
	return v.signingPage(changed, signing), nil
}

func (s *site) deleteChannel(v *visit) (answer, error) {
	found, err := s.channel(v)
	if err != nil {
		return nil, err
	}
	if err := s.config.Channels.Delete(v.ctx(), v.actor, found.ID); err != nil {
		return nil, err
	}
	return seeOther{to: v.channelOwner().Path, said: fmt.Sprintf("The channel %s is deleted.", found.Name)}, nil
}
