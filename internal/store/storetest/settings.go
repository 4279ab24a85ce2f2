package storetest

import (
	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/project"
)

func (h *house) linked(version int, keyID uint32) project.Repository {
	h.Helper()
	repository := project.Repository{
		ProjectID: h.vision.ID, URL: "https://git.example/acme/vision.git", Username: "robot", KnownHosts: "git.example ssh-ed25519 AAAA",
		Login: project.Token, ConfigPath: "ml/valohai.yaml", LinkedAt: noon, Version: version,
		Sealed: project.Sealed{KeyID: keyID, Bytes: []byte{1, 2, 3}},
	}
	h.check(h.SetRepository(h.ctx, repository, event(audit.ProjectLink, "vision")))
	return repository
}

func (h *house) variable(name string, secret bool, keyID uint32) project.Variable {
	h.Helper()
	variable := project.Variable{ProjectID: h.vision.ID, Name: name, Secret: secret, Version: 1}
	if secret {
		variable.Sealed = project.Sealed{KeyID: keyID, Bytes: []byte(name)}
	} else {
		variable.Value, variable.Sealed.Bytes = "value of "+name, []byte{}
	}
	h.check(h.SetVariable(h.ctx, variable, event(audit.ProjectVariable, name)))
	return variable
}

var settings = []sentence{
	{"a project has one repository, and a later link takes its place", func(h *house) {
		_, err := h.Repository(h.ctx, h.vision.ID)
		h.refused(fault.NotFound, err)
		h.audits(audit.ProjectLink, 2, func() {
			h.linked(1, 7)
			want := h.linked(2, 8)
			got, err := h.Repository(h.ctx, h.vision.ID)
			h.check(err)
			h.same(want, got)
		})
	}},
	{"a link that is taken away leaves no secret", func(h *house) {
		h.linked(1, 7)
		h.audits(audit.ProjectUnlink, 1, func() {
			h.check(h.DeleteRepository(h.ctx, h.vision.ID, event(audit.ProjectUnlink, "vision")))
		})
		_, err := h.Repository(h.ctx, h.vision.ID)
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.DeleteRepository(h.ctx, h.vision.ID, event(audit.ProjectUnlink, "vision")))
		kept, err := h.ProjectSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same(0, len(kept))
	}},
	{"variables are a project's, by name, and a later value takes the place of one", func(h *house) {
		secret, open := h.variable("TOKEN", true, 7), h.variable("COLOUR", false, 0)
		got, err := h.Variables(h.ctx, h.vision.ID)
		h.check(err)
		h.same([]project.Variable{open, secret}, got)
		open.Value, open.Version = "red", 2
		h.check(h.SetVariable(h.ctx, open, event(audit.ProjectVariable, "COLOUR")))
		got, err = h.Variables(h.ctx, h.vision.ID)
		h.check(err)
		h.same(open, got[0])
		h.check(h.DeleteVariable(h.ctx, h.vision.ID, "COLOUR", event(audit.ProjectVariable, "COLOUR")))
		h.refused(fault.NotFound, h.DeleteVariable(h.ctx, h.vision.ID, "COLOUR", event(audit.ProjectVariable, "COLOUR")))
		got, err = h.Variables(h.ctx, h.project("speech", h.acme).ID)
		h.check(err)
		h.same(0, len(got))
	}},
	{"secrets that another key sealed are found and sealed anew, but for those that changed", func(h *house) {
		repository := h.linked(1, 7)
		secret, other := h.variable("TOKEN", true, 7), h.variable("OTHER", true, 7)
		h.variable("OPEN", false, 0)
		h.variable("NEW", true, 9)
		kept, err := h.ProjectSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same(3, len(kept))
		fresh := project.Sealed{KeyID: 9, Bytes: []byte("fresh")}
		for _, k := range []project.Kept{{Place: repository.Place(), Sealed: repository.Sealed}, {Place: secret.Place(), Sealed: secret.Sealed}} {
			changed, err := h.ResealProjectSecret(h.ctx, k.Place, k.Sealed, fresh)
			h.check(err)
			h.same(true, changed)
		}
		changed, err := h.ResealProjectSecret(h.ctx, other.Place(), fresh, fresh)
		h.check(err)
		h.same(false, changed)
		kept, err = h.ProjectSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same([]project.Kept{{Place: other.Place(), Sealed: other.Sealed}}, kept)
		got, err := h.Repository(h.ctx, h.vision.ID)
		h.check(err)
		h.same(fresh, got.Sealed)
	}},
	{"a project tells its environment and its latest execution", func(h *house) {
		h.check(h.SetDefaultEnvironment(h.ctx, h.vision.ID, account.DefaultEnvironmentID, event(audit.ProjectUpdate, "vision")))
		h.queue("one")
		got, err := h.ProjectByID(h.ctx, h.vision.ID)
		h.check(err)
		h.same(account.DefaultEnvironmentID, got.EnvironmentID)
		h.same(noon, got.LastExecutionAt)
	}},
	{"a commit of a repository gets its package later, and is told from uploads", func(h *house) {
		commit := execution.Commit{ProjectID: h.vision.ID, Identifier: "0123456789abcdef0123456789abcdef01234567", Ref: "main", Description: "first", CreatedAt: noon, ConfigPath: "valohai.yaml"}
		for _, c := range []execution.Commit{commit, {ProjectID: h.vision.ID, Identifier: "~abc", Package: "~abc"}} {
			added, err := h.CreateCommit(h.ctx, c, event(audit.ProjectFetch, c.Identifier))
			h.check(err)
			h.same(true, added)
		}
		for origin, want := range map[execution.Origin]string{execution.Fetched: commit.Identifier, execution.Uploaded: "~abc"} {
			found, count, err := h.Commits(h.ctx, h.vision.ID, origin, execution.Page{Limit: 10})
			h.check(err)
			h.same(1, count)
			h.same(want, found[0].Identifier)
		}
		commit.Package, commit.Config, commit.Size = "~def", "- step: {}", 3
		h.check(h.PackCommit(h.ctx, commit))
		got, err := h.CommitByIdentifier(h.ctx, h.vision.ID, commit.Identifier)
		h.check(err)
		h.same(commit, got)
	}},
}
