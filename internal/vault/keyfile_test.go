package vault_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/vault"
)

// startsVault names, in a process that this test starts, the key file to open.
const startsVault = "FAIRLEAD_TEST_START_VAULT"

func TestMain(m *testing.M) {
	if path := os.Getenv(startsVault); path != "" {
		os.Exit(startVault(path))
	}
	os.Exit(m.Run())
}

// startVault waits for the end of its input, opens the vault, and prints
// whether it made the file and with which key it seals.
func startVault(path string) int {
	_, _ = os.Stdin.Read(make([]byte, 1))
	v, err := vault.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	id, err := v.PrimaryKeyID()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(v.Created(), id)
	return 0
}

func TestProcessesThatStartAtOnceMakeOneKey(t *testing.T) {
	const processes = 8
	path := filepath.Join(t.TempDir(), "data", "key.json")
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	var starts [processes]*exec.Cmd
	var outputs [processes]bytes.Buffer
	for i := range starts {
		starts[i] = exec.CommandContext(t.Context(), os.Args[0])
		starts[i].Env = append(os.Environ(), startsVault+"="+path)
		starts[i].Stdin, starts[i].Stdout, starts[i].Stderr = gate, &outputs[i], &outputs[i]
		if err := starts[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	makers, keys := 0, map[string]bool{}
	for i := range starts {
		if err := starts[i].Wait(); err != nil {
			t.Fatalf("process %d: %v: %s", i, err, &outputs[i])
		}
		made, key, _ := strings.Cut(outputs[i].String(), " ")
		keys[key] = true
		if made == "true" {
			makers++
		}
	}
	if makers != 1 || len(keys) != 1 {
		t.Errorf("%d processes made a key file and they use the keys %v", makers, keys)
	}
	if names := list(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestTheKeyFileIsForItsOwnerAloneWhateverTheMask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := keyPath(t)
	v := open(t, path)
	rotate(t, v)
	if err := v.Retire(firstOf(t, v)); err != nil {
		t.Fatal(err)
	}
	for _, name := range list(t, filepath.Dir(path)) {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("the mode of %s is %v", name, info.Mode())
		}
	}
}

func TestAKeyFileThatOthersMayReadIsRefusedWithTheMend(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o620, 0o644} {
		path := keyPath(t)
		open(t, path)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := vault.Open(path)
		refused(t, err, "vault_key_open")
		if hint := fault.From(err).Hint; hint != "Run: chmod 600 "+path {
			t.Errorf("hint = %q", hint)
		}
	}
}

func TestWhatIsNoKeysetIsRefusedAndLeftAsItIs(t *testing.T) {
	path := keyPath(t)
	open(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{
		"empty":                        {},
		"garbage":                      []byte("hunter2 hunter2"),
		"JSON that is no keyset":       []byte(`{"password":"hunter2"}`),
		"a keyset without keys":        []byte(`{"primaryKeyId":1}`),
		"truncated":                    whole[:len(whole)/2],
		"truncated by a byte":          whole[:len(whole)-1],
		"twice":                        append(bytes.Clone(whole), whole...),
		"a keyset of another kind":     keysetText(t, mac.HMACSHA256Tag256KeyTemplate()),
		"a key without an id in front": keysetText(t, aead.AES256GCMNoPrefixKeyTemplate()),
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			path := keyPath(t)
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := vault.Open(path)
			refused(t, err, "vault_key_broken")
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the file: %v", err)
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, text) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

func TestAKeysetOfAnotherAEADIsTaken(t *testing.T) {
	path := keyPath(t)
	if err := os.WriteFile(path, keysetText(t, aead.AES256GCMKeyTemplate()), 0o600); err != nil {
		t.Fatal(err)
	}
	v := open(t, path)
	if got, err := v.Open(seal(t, v, password), place); err != nil || got.Reveal() != password {
		t.Errorf("Open = %v, %v", got, err)
	}
}

func TestALinkToOurOwnFileIsFollowedAndKept(t *testing.T) {
	path := keyPath(t)
	v := open(t, path)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	want := rotate(t, open(t, link))
	if got := primary(t, v); got != want {
		t.Errorf("the file behind the link seals with %d, not with %d", got, want)
	}
	if target, err := os.Readlink(link); target != path {
		t.Errorf("the link leads to %q (%v)", target, err)
	}
}

func TestALinkToNothingIsRefused(t *testing.T) {
	link := keyPath(t)
	if err := os.Symlink(filepath.Join(t.TempDir(), "gone.json"), link); err != nil {
		t.Fatal(err)
	}
	_, err := vault.Open(link)
	refused(t, err, "vault_key_dangling")
}

func TestADirectoryOrAFIFOIsRefused(t *testing.T) {
	_, err := vault.Open(t.TempDir())
	refused(t, err, "vault_key_irregular")

	fifo := keyPath(t)
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = vault.Open(fifo)
	refused(t, err, "vault_key_irregular")
}

func TestALinkToAFileOfAnotherUserIsRefused(t *testing.T) {
	path := foreignKeyFile(t)
	link := keyPath(t)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err := vault.Open(link)
	refused(t, err, "vault_key_foreign")
}

func TestRootRotatesTheFileOfTheServersUserAndLeavesItTheirs(t *testing.T) {
	path := foreignKeyFile(t)
	rotate(t, open(t, path))
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != nobody || info.Mode() != 0o600 {
			t.Errorf("%s: owner %d, mode %v", name, stat.Uid, info.Mode())
		}
	}
}

func TestAKeyFileThatCannotBeMadeIsRefusedWithTheMend(t *testing.T) {
	_, err := vault.Open("/proc/fairlead/key.json")
	refused(t, err, "vault_key_unwritable")
}

const nobody = 65534

// foreignKeyFile is a key file that belongs to another user.
func foreignKeyFile(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	path := keyPath(t)
	open(t, path)
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return path
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != fault.Invalid || f.Code != code || f.Hint == "" {
		t.Errorf("err = %v; want %s with a mend", err, code)
	}
}

func keysetText(t *testing.T, template *tinkpb.KeyTemplate) []byte {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// firstOf is a key of v that is not its primary.
func firstOf(t *testing.T, v *vault.Vault) uint32 {
	t.Helper()
	ids, err := v.KeyIDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id != primary(t, v) {
			return id
		}
	}
	t.Fatal("there is only one key")
	return 0
}

func list(t *testing.T, directory string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
