package notice

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
)

func TestAWebhookGoesToAnAddressOfHTTPSAlone(t *testing.T) {
	for _, text := range []string{"https://chat.example/hook", "https://chat.example:8443/a?key=b"} {
		if err := validURL(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, code := range map[string]string{
		"":                                    "blank",
		"http://chat.example/s3cret":          "webhook_scheme",
		"ftp://chat.example/s3cret":           "webhook_scheme",
		"https://ada:s3cret@chat.example/":    "webhook_login",
		"https://chat.example/#s3cret":        "webhook_fragment",
		"https:///s3cret":                     "webhook_address",
		"https://chat.example/s3cret\r\nx: y": "webhook_address",
		"https://chat.example/%zz-s3cret":     "webhook_address",
		"https://chat.example/" + strings.Repeat("s3cret", 400): "long",
	} {
		err := validURL(text)
		if f := fault.From(err); err == nil || f.Fields[0].Name != "url" || f.Fields[0].Code != code || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func TestAddressesAreOfPeopleAndEachStandsOnce(t *testing.T) {
	got, err := validAddresses([]string{"ada@acme.example", "ml+alerts@acme.example", "ada@acme.example"})
	if diff := cmp.Diff([]string{"ada@acme.example", "ml+alerts@acme.example"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	many := make([]string, addressesMost+1)
	for i := range many {
		many[i] = strings.Repeat("a", i+1) + "@acme.example"
	}
	for name, texts := range map[string][]string{
		"none": nil, "too many": many, "a name": {"Ada <ada@acme.example>"}, "two": {"ada@acme.example, eve@acme.example"},
		"a header": {"ada@acme.example\r\nBcc: eve@acme.example"}, "no host": {"ada"}, "too long": {strings.Repeat("a", 250) + "@acme.example"},
	} {
		if _, err := validAddresses(texts); !fault.Is(err, fault.Invalid) || fault.From(err).Fields[0].Name != "addresses" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAChannelIsToldOfWhatItsOwnerHas(t *testing.T) {
	got, err := validEvents(7, []Event{ExecutionEnds, CredentialFails, ExecutionEnds})
	if diff := cmp.Diff([]Event{ExecutionEnds, CredentialFails}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, asked := range map[string]struct {
		organization int64
		events       []Event
	}{
		"nothing": {7, nil}, "a lost worker, for an organisation": {7, []Event{WorkerLost}},
		"an execution, for the installation": {0, []Event{ExecutionEnds}}, "a test": {7, []Event{Test}}, "a digest": {0, []Event{Digest}},
	} {
		if _, err := validEvents(asked.organization, asked.events); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnExecutionIsWantedByItsProjectAndHowItEnds(t *testing.T) {
	all := Channel{Enabled: true, Events: []Event{ExecutionEnds}, Statuses: DefaultStatuses()}
	one, off, other := all, all, all
	one.Projects = []string{"vision"}
	off.Enabled = false
	other.Events = []Event{CredentialFails}
	for _, test := range []struct {
		channel         Channel
		project, status string
		want            bool
	}{
		{all, "vision", "error", true},
		{all, "speech", "crashed", true},
		{all, "vision", "complete", false},
		{one, "vision", "error", true},
		{one, "speech", "error", false},
		{off, "vision", "error", false},
		{other, "vision", "error", false},
	} {
		if got := test.channel.WantsExecution(test.project, test.status); got != test.want {
			t.Errorf("%+v of %s as %s: %v", test.channel, test.project, test.status, got)
		}
	}
}

func TestOfAWebhookOnlyTheHostIsShownToEverybody(t *testing.T) {
	if got := (Channel{Way: Webhook, URL: "https://chat.example/T0PSECRET?key=s3cret"}).Where(); got != "chat.example" {
		t.Error(got)
	}
}
