// Package internal_test holds the house to its floor plan: which room may
// import which. ARCHITECTURE.md tells the reasons.
package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "fairlead.dev/fairlead"

// Floors that several rows speak of.
var (
	words = []string{"image", "secret", "fault"}
	nouns = []string{"account", "audit", "registry", "project", "execution", "valohaiyaml", "source", "notice"}
)

// room is a row of the import table.
type room struct {
	name string

	// mayImport are the rooms that it may import.
	mayImport []string

	// libraries bound what it may import from other modules, by the beginning
	// of the path; nil: anything.
	libraries []string

	// why is the rule as a person would say it.
	why string
}

// none is for rooms that import nothing of that sort.
var none = []string{}

// plan is the import table. Names are paths below internal, but for the
// programs. Tests are not bound by it: they build what they need.
var plan = []room{
	// F0: words.
	{"fault", none, none, "the vocabulary of errors stands on the standard library alone"},
	{"secret", none, none, "the type of secrets stands on the standard library alone"},
	{
		"image",
		[]string{"fault"},
		[]string{"github.com/distribution/reference", "github.com/opencontainers/go-digest"},
		"image names need errors, Docker's own parser of references, and digests; nothing else",
	},

	// F1: nouns.
	{"audit", []string{"fault"}, none, "the audit trail is values and their chain; it needs errors, and knows no other room"},
	{
		"account",
		sum(words, "audit"),
		[]string{"github.com/google/uuid", "github.com/hashicorp/golang-lru/v2", "github.com/pquerna/otp", "golang.org/x/crypto/argon2"},
		"users and organisations know words, and leave audit events",
	},
	{
		"registry",
		sum(words, "account", "audit"),
		[]string{"github.com/google/uuid"},
		"credentials know words, who asks, and leave audit events; how they are traded or sealed is for grant and vault",
	},
	{
		"notice",
		sum(words, "account", "audit"),
		[]string{"github.com/google/uuid"},
		"who is told of what knows words, who asks, and leaves audit events; sealing reaches it as an interface, and how a notice travels is courier's",
	},
	{"source", words, []string{"github.com/dustin/go-humanize"}, "a package of code is a noun of its own and knows words alone"},
	{"valohaiyaml", words, []string{"go.yaml.in/yaml/v4"}, "the file format knows words alone"},
	{
		"project",
		sum(words, "account", "audit"),
		none,
		"the settings of a project know words, who asks, and leave audit events; git hosts and sealing reach them as interfaces",
	},
	{
		"execution",
		sum(words, "account", "audit", "source", "valohaiyaml"),
		[]string{"github.com/google/uuid"},
		"an execution is made of a step and a package of code by somebody, so it may know those nouns; never how it is stored or run",
	},

	// F2: tools.
	{"oci", words, nil, "a client of registries knows words, never nouns"},
	{"diagnosis", sum(words, "oci"), none, "what a registry answered becomes a sentence here and nowhere else; it needs words and the protocol's errors"},
	{"grant", sum(words, "oci", "diagnosis"), nil, "trading a secret for a grant needs words and the protocol; it knows no accounts and no database"},
	{
		"courier",
		[]string{"fault", "secret"},
		[]string{"github.com/wneessen/go-mail"},
		"carrying mail and webhooks needs words alone; who is told, and what, is its caller's to know",
	},
	{
		"oidc",
		[]string{"fault", "secret"},
		[]string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2", "golang.org/x/sync/singleflight", "golang.org/x/time/rate"},
		"what a provider answers for needs words and the protocol; whose account it is, is its caller's to know",
	},
	{"vault", words, nil, "sealing knows words, never nouns: rows are its caller's"},
	{
		"unpack", none,
		[]string{"golang.org/x/sys/unix"},
		"writing a layer's files needs the archive and the kernel; what a layer may hold is pull's to say",
	},
	{"pull", sum(words, "oci", "diagnosis", "unpack"), nil, "pulling needs words and the protocol, never nouns"},
	{"depot", sum(words, "depot/bucket"), nil, "keeping files under keys knows words, never nouns"},
	{"depot/bucket", none, nil, "a cloud's bucket and its answers are the same for who keeps files there and who downloads them; its words are the clouds'"},
	{"inputs", sum(words, "depot/bucket"), nil, "downloading files knows words, never nouns"},
	{
		"blobs",
		[]string{"fault", "depot/bucket"},
		[]string{
			"github.com/distribution/distribution/v3/registry/storage/driver", "github.com/opencontainers/go-digest",
			"github.com/opencontainers/image-spec", "github.com/Azure/azure-sdk-for-go/sdk/azcore", "github.com/aws/smithy-go", "golang.org/x/sync/semaphore", "golang.org/x/sys/unix",
		},
		"keeping content by digest knows words and what clouds answer; who may have it, and where it is from, is its caller's to know",
	},
	{"gitfetch", []string{"fault", "secret", "source"}, nil, "fetching code needs words and what a package of code is; it knows no projects and no database"},
	{"gitfetch/gittest", none, none, "a git host for tests is git itself, behind the standard library's server"},
	{"engine", words, none, "what it means to run a container is said in words and values"},
	{"engine/runc", sum(words, "engine"), nil, "an engine knows words and what is to be run, never nouns"},
	{"demoimage", words, nil, "the images of the demo and of tests are made of nothing but this module"},
	{"demoimage/shell", none, nil, "the shell inside those images is a program of its own"},

	// F3: trades.
	{
		"broker",
		sum(words, "account", "audit", "registry"),
		none,
		"the broker knows words and nouns; vault and grant reach it as interfaces, by way of app/adapter",
	},
	{
		"dispatch",
		sum(words, "account", "execution"),
		[]string{"github.com/google/uuid"},
		"handing out executions needs nouns alone: no images, no secrets, no database",
	},
	{
		"outbox",
		sum(words, "account", "audit", "registry", "execution", "notice", "courier"),
		[]string{"github.com/google/uuid"},
		"telling what happened needs the nouns that it happened to, and the courier; no door and no database",
	},
	{
		"signon",
		sum(words, "account", "oidc"),
		none,
		"a browser's way to a provider and back needs who people are and what the provider says; the door calls it, and it knows no HTTP",
	},
	{
		"relay",
		[]string{"fault", "audit"},
		[]string{"golang.org/x/sys/unix"},
		"sending the audit trail out needs the trail and errors; the store reaches it as an interface",
	},
	{
		"telemetry",
		sum(words, "broker", "wire"),
		[]string{"github.com/prometheus/client_golang", "go.opentelemetry.io/otel"},
		"what is counted and traced reaches it through interfaces of those who do it; it needs what they say, the shape of a pull's report, and no database",
	},
	{
		"worker",
		sum(words, "oci", "pull", "inputs", "engine", "client", "wire", "source", "execution"),
		nil,
		"a worker holds no keys: it speaks the API, pulls and runs, and has no store, vault or broker",
	},

	{
		"cache",
		sum(words, "account", "oci", "diagnosis", "blobs"),
		[]string{
			"github.com/containerd/platforms", "github.com/hashicorp/golang-lru/v2", "github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec",
			"golang.org/x/sync/errgroup", "golang.org/x/sync/singleflight",
		},
		"who may read what through the cache needs who asks, the protocol and the kept bytes; credentials reach it as an interface",
	},

	// F4: shelves.
	{"store", sum(words, nouns...), nil, "the store implements what nouns and trades ask for, and knows no tool and no door"},

	// F5: doors.
	{"wire", words, none, "the shapes of the API are plain values"},
	{"client", sum(words, "wire"), none, "the client speaks the API as anybody else's would"},
	{
		"api",
		slices.Concat(words, nouns, []string{"broker", "dispatch", "outbox", "wire"}),
		[]string{"github.com/danielgtaylor/huma/v2"},
		"the HTTP door calls nouns and trades: no store, no SQL, no registry",
	},
	{"reference", none, none, "the pages about the API know its OpenAPI document and nothing else of the house"},
	{
		"web",
		slices.Concat(words, nouns, []string{"broker", "dispatch", "outbox", "signon", "wire"}),
		[]string{"github.com/boombuler/barcode", "github.com/dustin/go-humanize", "github.com/go-json-experiment/json"},
		"the pages call nouns and trades, as the API does, and read a worker's report: no store, no SQL, no registry",
	},
	{
		"mirror", sum(words, "wire"),
		[]string{"github.com/opencontainers"},
		"the cache's door needs words, the shapes of the specification, and those in which it tells of itself; who may come in and what there is reach it as interfaces",
	},
	{
		"cli",
		sum(words, "audit", "client", "wire", "valohaiyaml", "source", "mirror", "telemetry", "app", "demo"),
		nil,
		"commands speak the API, trace what they ask, read the files of a project, verify those of the audit trail, tell clients of the cache, and start what app or demo wired",
	},

	// F6: the plan.
	{
		"app/adapter",
		sum(words, "vault", "grant", "oci", "gitfetch", "account", "registry", "project", "execution", "broker", "cache", "dispatch", "notice", "worker", "wire", "mirror"),
		none,
		"adapters fit the tools to the interfaces of those who use them",
	},
	{
		"app",
		slices.Concat(words, nouns, []string{
			"oci", "grant", "vault", "unpack", "pull", "depot", "gitfetch", "inputs", "engine", "engine/runc", "blobs", "broker", "cache", "courier", "oidc", "signon", "dispatch", "outbox", "relay", "worker", "store",
			"wire", "client", "api", "web", "mirror", "reference", "telemetry", "app/adapter",
		}),
		nil,
		"app wires every room but the commands and the demo, which stand on it",
	},
	{
		"demo",
		sum(words, "app", "client", "wire", "source", "demoimage", "grant/granttest"),
		none,
		"the demo is a user of the product: it starts the fakes and a server, and speaks the API",
	},

	// What tests stand on.
	{"grant/granttest", sum(words, "oci"), nil, "honest registries for tests and the demo know none of what they are to test but the protocol"},
	{
		"courier/couriertest", none,
		[]string{"github.com/emersion/go-smtp", "github.com/emersion/go-sasl"},
		"what mail and webhooks arrive at in tests knows none of what it is to test",
	},
	{
		"browsertest", none,
		[]string{"github.com/chromedp", "golang.org/x/sys/unix"},
		"a browser for tests of pages knows none of the pages",
	},
	{"oidc/oidctest", none, []string{"github.com/go-jose/go-jose/v4"}, "the provider that people sign in at in tests knows none of what it is to test"},
	{"depot/depottest", none, nil, "what stands for the clouds' stores in tests knows none of what it is to test"},
	{"engine/enginetest", sum(words, "engine", "demoimage"), nil, "the suite knows the engine's interface and makes its images itself"},
	{"store/storetest", sum(words, nouns...), nil, "the suite knows the interfaces, not the store"},

	// Programs.
	{"cmd/fairlead", []string{"cli"}, none, "the program is the command line and nothing else"},
	{
		"bench",
		sum(words, "client", "wire", "source", "demoimage", "grant/granttest", "bench/fill"),
		nil,
		"what is measured is the real program, from outside",
	},
	{
		"bench/fill",
		slices.Concat(words, nouns, []string{"store", "wire"}),
		nil,
		"a large database is filled through the store that keeps it, and by no service that would ask a registry",
	},
	{
		"bench/far",
		sum(words, "oci", "demoimage", "grant/granttest"),
		nil,
		"the registry that measured pulls ask is a real one, and knows none of who asks",
	},
	{"bench/trial", none, []string{"golang.org/x/sys/unix"}, "what something took is the kernel's to tell, whatever it was"},
	{
		"bench/pull",
		sum(words, "oci", "pull", "bench/far", "bench/trial"),
		nil,
		"what is measured is the product's own pull, beside other programs",
	},
	{
		"bench/cache",
		sum(words, "client", "wire", "oci", "bench/far", "bench/trial"),
		nil,
		"what is measured is the real program, from outside, beside other programs",
	},
}

func sum(floor []string, more ...string) []string { return slices.Concat(floor, more) }

// only are libraries that belong to some rooms alone, by the beginning of the
// path, so that the rest of the house links and knows none of them.
var only = []struct {
	library string
	rooms   []string
}{
	{"database/sql", []string{"store"}},
	{"modernc.org/sqlite", []string{"store"}},
	{"github.com/pressly/goose", []string{"store"}},
	{"github.com/tink-crypto/tink-go", []string{"vault"}},
	{"github.com/danielgtaylor/huma", []string{"api"}},
	{"github.com/spf13/cobra", []string{"cli"}},
	{"github.com/spf13/pflag", []string{"cli", "app"}},
	{"github.com/containerd/containerd", []string{"pull", "oci"}},
	{"github.com/containerd/go-runc", []string{"engine/runc"}},
	{"github.com/distribution/distribution", []string{"grant/granttest", "blobs"}},
	{"github.com/johannesboyne/gofakes3", []string{"depot/depottest"}},
	{"gocloud.dev", []string{"depot", "depot/bucket"}},
	{"net/http", []string{
		"oci", "diagnosis", "grant", "pull", "depot/bucket", "depot/depottest", "inputs", "gitfetch", "courier", "courier/couriertest", "oidc", "oidc/oidctest", "api", "web", "mirror", "reference", "client", "telemetry", "app", "demo",
		"grant/granttest", "gitfetch/gittest", "bench", "bench/far", "bench/pull", "bench/cache",
	}},
	{"github.com/go-git", []string{"gitfetch"}},
	{"github.com/prometheus/client_golang", []string{"telemetry", "app"}},
	{"go.opentelemetry.io/otel", []string{"telemetry"}},
	{"github.com/wneessen/go-mail", []string{"courier"}},
	{"github.com/coreos/go-oidc", []string{"oidc"}},
	{"github.com/emersion/go-smtp", []string{"courier/couriertest"}},
	{"github.com/chromedp", []string{"browsertest"}},
}

// unreachable are rooms that a room does not link by any way round.
var unreachable = []struct {
	from string
	to   []string
	why  string
}{
	{"worker", []string{"store", "vault", "broker", "grant", "registry", "dispatch", "api", "app"}, "a worker holds no keys and no database"},
	{"client", nouns, "the client can be lent alone"},
	{"grant", nouns, "grant can be read, tested and lent alone"},
	{"cmd/fairlead", []string{"browsertest", "courier/couriertest", "depot/depottest", "engine/enginetest", "oidc/oidctest", "store/storetest"}, "the product holds no tests"},
}

// lent are what a room takes of another that it may use for its words alone.
// The worker writes lines and statuses into a log that package execution
// defines; a copy of those words could come to differ. It takes no rule, no
// service and no store of it.
var lent = []struct {
	room, from string
	names      []string
}{
	{"worker", "execution", []string{
		"BatchMost", "LineMost", "CleanText", "DatumURL",
		"Stream", "StatusStream", "Stdout", "Stderr",
		"Complete", "Error", "Stopped", "Crashed",
	}},
}

func TestEveryRoomImportsOnlyWhatTheFloorPlanLists(t *testing.T) {
	packages := house(t)
	for _, row := range plan {
		for _, path := range packages[row.name].Imports {
			name := nameOf(path)
			if isOurs(path) && !slices.Contains(row.mayImport, name) {
				t.Errorf("%s imports %s, and it may not: %s. The table in internal/arch_test.go lists what it may import.", row.name, name, row.why)
			}
			known := slices.ContainsFunc(row.libraries, func(library string) bool { return below(path, library) })
			if isForeign(path) && row.libraries != nil && !known {
				t.Errorf("%s imports the library %s, and it may not: %s. The table in internal/arch_test.go lists its libraries.", row.name, path, row.why)
			}
		}
	}
}

func TestEveryRoomHasOneRowInTheFloorPlan(t *testing.T) {
	packages := house(t)
	rows := make(map[string]int)
	for _, row := range plan {
		rows[row.name]++
		if _, found := packages[row.name]; !found {
			t.Errorf("the floor plan has a row for %s, and there is no such room: delete the row.", row.name)
		}
		for _, name := range row.mayImport {
			if _, found := packages[name]; !found {
				t.Errorf("the floor plan lets %s import %s, and there is no such room.", row.name, name)
			}
		}
	}
	for name := range packages {
		if rows[name] != 1 {
			t.Errorf("the room %s has %d rows in the floor plan: give it one, and a paragraph in ARCHITECTURE.md.", name, rows[name])
		}
	}
}

func TestLibrariesStayInTheRoomsThatTheyBelongTo(t *testing.T) {
	for name, p := range house(t) {
		for _, path := range p.Imports {
			for _, rule := range only {
				if below(path, rule.library) && !slices.Contains(rule.rooms, name) {
					t.Errorf("%s imports %s, which belongs to %s alone: ask that room for what you need.", name, path, strings.Join(rule.rooms, ", "))
				}
			}
		}
	}
}

func TestSomeRoomsAreOutOfReachByEveryWay(t *testing.T) {
	packages := house(t)
	for _, rule := range unreachable {
		for _, path := range packages[rule.from].Deps {
			if name := nameOf(path); isOurs(path) && slices.Contains(rule.to, name) {
				t.Errorf("%s links %s, if only by way of another room, and it must not: %s.", rule.from, name, rule.why)
			}
		}
	}
}

func TestARoomTakesNoMoreOfAnotherThanWasLent(t *testing.T) {
	packages := house(t)
	for _, loan := range lent {
		p := packages[loan.room]
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range taken(parsed, module+"/internal/"+loan.from) {
				if !slices.Contains(loan.names, name) {
					t.Errorf("%s/%s takes %s.%s, and %s may take of %s only %s.",
						loan.room, file, loan.from, name, loan.room, loan.from, strings.Join(loan.names, ", "))
				}
			}
		}
	}
}

// taken are the names that a file uses of a package.
func taken(file *ast.File, path string) []string {
	as := ""
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+path+`"` {
			continue
		}
		if as = path[strings.LastIndex(path, "/")+1:]; spec.Name != nil {
			as = spec.Name.Name
		}
	}
	var names []string
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if left, ok := selector.X.(*ast.Ident); ok && as != "" && left.Name == as {
			names = append(names, selector.Sel.Name)
		}
		return true
	})
	return names
}
