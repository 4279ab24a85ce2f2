package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// failingRooms are those that a failed pull or run gets its codes from.
var failingRooms = []string{"oci", "diagnosis", "grant", "broker", "pull", "engine/runc", "inputs", "depot", "gitfetch", "worker"}

// elsewhere are codes of errors.md that other rooms make, or that have a name in
// the source.
var elsewhere = []string{
	"internal", "image_name", "personal_project", "seal_broken", "root_needed", "worker_lost", "packages_unreadable", "disk_full", "layer_corrupt", "git_address_forbidden", "repository_none", "commit_unknown",
	"source_truncated", "source_corrupt", "source_unsafe", "source_too_large",
}

// unmet are codes that no run ends with: they tell of settings or of a form, at
// the moment that those are made.
var unmet = []string{
	"depot_url", "depot_open", "cache_address",
	"paste_long", "paste_many", "paste_unread", "paste_unsupported",
	"ca_pem", "host_address", "host_name", "host_twice", "store_root", "mount_key", "kind_unknown", "image_missing",
	"field_choice", "field_control", "field_required", "field_too_long", "field_unknown", "field_secret", "field_not_secret",
	"username_colon", "username_mail", "username_required", "address_pair", "address_twice", "ca_other", "proxy_address", "proxy_userinfo", "renew_unsupported",
	"endpoint_address", "external_id_alone", "region_unknown", "role_arn", "role_name", "access_key_id", "certificate_pem", "client_id", "key_field", "key_json", "account_email", "provider_name", "token_uri_keyless", "authority_federated", "secret_twice", "tenant_id", "session_token_missing", "session_token_needless",
}

// codeInSource finds a code where a fault is made, and in the tables of faults.
var codeInSource = regexp.MustCompile(`(?:fault\.[A-Z]\w+,|InvalidField\([^,\n]+,|imageInvalid\(ref,|Code:)\s*"([a-z][a-z0-9_]+)"`)

// codeInDocs finds a code in the first cell of a row.
var codeInDocs = regexp.MustCompile("`([a-z][a-z0-9_]+)`")

func TestEveryErrorOfAPullOrARunIsExplained(t *testing.T) {
	made := slices.Clone(elsewhere)
	for _, room := range failingRooms {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", room, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, found := range codeInSource.FindAllStringSubmatch(read(t, file), -1) {
				made = append(made, found[1])
			}
		}
	}
	var explained []string
	for line := range strings.Lines(read(t, "../docs/errors.md")) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, found := range codeInDocs.FindAllStringSubmatch(cells[1], -1) {
				explained = append(explained, found[1])
			}
		}
	}
	slices.Sort(made)
	for _, code := range slices.Compact(made) {
		if !slices.Contains(explained, code) && !slices.Contains(unmet, code) {
			t.Errorf("docs/errors.md does not explain %s", code)
		}
	}
	for _, code := range explained {
		if !slices.Contains(made, code) {
			t.Errorf("docs/errors.md explains %s, which nothing makes", code)
		}
	}
}

// linkInDocs finds the target of a Markdown link that is a file of this house.
var linkInDocs = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestLinksBetweenThePagesLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := filepath.Glob("../docs/registries/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, kinds...)
	for _, page := range append(pages, "../README.md", "../ARCHITECTURE.md", "../CONTRIBUTING.md") {
		for _, link := range linkInDocs.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, link[1], err)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
