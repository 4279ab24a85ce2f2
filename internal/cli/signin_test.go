package cli_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"
)

// secondFactor runs `fairlead totp enable` with an app that has the key: it sets
// TOTP_KEY, and writes the recovery codes into the file `recovery`.
func secondFactor(ts *testscript.TestScript, _ bool, _ []string) {
	program, err := exec.LookPath("fairlead")
	ts.Check(err)
	command := exec.Command(program, "totp", "enable")
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "PATH", "FAIRLEAD_SERVER"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	in, err := command.StdinPipe()
	ts.Check(err)
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	var rest []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		key, isKey := strings.CutPrefix(line, "Key:")
		switch _, isAddress := strings.CutPrefix(line, "Address: otpauth://totp/Fairlead:"); {
		case isKey:
			key = strings.TrimSpace(key)
			ts.Setenv("TOTP_KEY", key)
			code, err := totp.GenerateCode(key, time.Now())
			ts.Check(err)
			_, err = fmt.Fprintln(in, code)
			ts.Check(err)
		case !isAddress:
			rest = append(rest, line)
		}
	}
	ts.Check(command.Wait())
	ts.Check(os.WriteFile(ts.MkAbs("recovery"), []byte(strings.Join(rest, "\n")+"\n"), 0o600))
}

// withCode writes a sign-in's lines: the password in the file, and the code that
// comes next, so that it was not used yet.
func withCode(ts *testscript.TestScript, _ bool, args []string) {
	const step = 30 * time.Second
	code, err := totp.GenerateCode(ts.Getenv("TOTP_KEY"), time.Now().Add(step))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0])+code+"\n"), 0o600))
}

// browsers stores sessions of the user admin, with such ids.
func browsers(ts *testscript.TestScript, neg bool, args []string) {
	for i, id := range args {
		now := time.Now().Add(time.Duration(i) * time.Microsecond)
		database(ts, neg, []string{fmt.Sprintf(`
			INSERT INTO sessions (id, position, hash, user_id, agent, remote, created_at, last_used_at, expires_at)
			SELECT '%[1]s', 0, 'hash of %[1]s', id, 'Firefox of %[1]s', '192.0.2.1', %[2]d, %[2]d, %[3]d FROM users WHERE username = 'admin'`,
			id, now.UnixMicro(), now.Add(24*time.Hour).UnixMicro())})
	}
}
