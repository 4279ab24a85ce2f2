package oidc

import (
	"encoding/json"
	"testing"
)

// FuzzClaims reads claims as any provider may write them.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"a","preferred_username":"ada","groups":["x"]}`), "groups")
	f.Add([]byte(`{"sub":7,"email":null,"realm_access":{"roles":["x","y"]}}`), "realm_access.roles")
	f.Add([]byte(`{"_claim_names":{"groups":"src1"},"hasgroups":"true","a":{"":{"b":"c"}}}`), "a..b")
	f.Fuzz(func(t *testing.T, payload []byte, name string) {
		claims := make(map[string]json.RawMessage)
		if json.Unmarshal(payload, &claims) != nil {
			return
		}
		read, err := parseClaims(claims, name)
		if err != nil {
			return
		}
		for _, text := range append(read.Groups, read.Subject, read.Username, read.Name, read.Email, read.SID) {
			if len(text) > textMost {
				t.Errorf("%d bytes of one claim", len(text))
			}
		}
		if len(read.Groups) > groupsMost {
			t.Errorf("%d groups", len(read.Groups))
		}
	})
}
