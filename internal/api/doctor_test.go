package api_test

import "testing"

func TestOnlyOperatorsHaveTheServerLookAtItself(t *testing.T) {
	newHouse(t).play(t, []scenario{
		{name: "a member", as: "ben", method: "GET", path: "doctor/", status: 403, want: []string{`"code":"not_operator"`}},
		{name: "an admin", as: "ada", method: "GET", path: "doctor/?credentials=true", status: 403, want: []string{`"code":"not_operator"`}},
		{name: "a worker", as: "worker", method: "GET", path: "doctor/", status: 403},
		{name: "a server that has no way to look", as: "root", method: "GET", path: "doctor/", status: 503, want: []string{`"code":"doctor_missing"`, "fairlead doctor --data-dir DIR"}},
		{name: "an odd question", as: "root", method: "GET", path: "doctor/?credentials=perhaps", status: 400},
	})
}
