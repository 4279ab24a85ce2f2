package storetest

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

var users = []sentence{
	{"a user is found by id and by name whatever its case", func(h *house) {
		user := account.User{ID: "u1", Username: "Grace", Email: "grace@example.com", Operator: true, CreatedAt: noon}
		h.audits(audit.UserCreate, 1, func() {
			h.check(h.CreateUser(h.ctx, user, "hash", event(audit.UserCreate, "Grace")))
		})
		got, err := h.UserByID(h.ctx, "u1")
		h.check(err)
		h.same(user, got)
		got, hash, err := h.UserByName(h.ctx, "gRACE")
		h.check(err)
		h.same(user, got)
		h.same("hash", hash)
		count, err := h.CountUsers(h.ctx)
		h.check(err)
		h.same(2, count)
	}},
	{"a name that differs only by case is taken, and the refusal leaves no event", func(h *house) {
		h.audits(audit.UserCreate, 0, func() {
			h.refused(fault.Conflict, h.CreateUser(h.ctx, account.User{ID: "u2", Username: "ADA"}, "", event(audit.UserCreate, "ADA")))
		})
	}},
	{"a password is replaced", func(h *house) {
		h.audits(audit.UserPassword, 1, func() {
			h.check(h.SetPassword(h.ctx, h.ada.ID, "other", event(audit.UserPassword, "ada")))
		})
		_, hash, err := h.UserByName(h.ctx, "ada")
		h.check(err)
		h.same("other", hash)
	}},
	{"users are listed by the beginning of their name, in its order, page by page", func(h *house) {
		for _, name := range []string{"Bea", "al_", "ben", "Adam"} {
			h.user(name)
		}
		list := func(prefix string, limit, offset, wantCount int, want ...string) {
			h.Helper()
			users, count, err := h.Users(h.ctx, prefix, limit, offset)
			h.check(err)
			var names []string
			for _, user := range users {
				names = append(names, user.Username)
			}
			h.same(want, names)
			h.same(wantCount, count)
		}
		list("", 10, 0, 5, "ada", "Adam", "al_", "Bea", "ben")
		list("", 2, 1, 5, "Adam", "al_")
		list("b", 10, 0, 2, "Bea", "ben")
		list("ada", 1, 1, 2, "Adam")
		list("a%", 10, 0, 0)
		list("a__", 10, 0, 0)
		users, _, err := h.Users(h.ctx, "ada", 1, 0)
		h.check(err)
		h.same([]account.User{h.ada}, users)
	}},
	{"an unknown user is not found", func(h *house) {
		_, err := h.UserByID(h.ctx, "nobody")
		h.refused(fault.NotFound, err)
		_, _, err = h.UserByName(h.ctx, "nobody")
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.SetPassword(h.ctx, "nobody", "x", event(audit.UserPassword, "nobody")))
	}},
	{"of many first users one is made, with its organisation, and then none", func(h *house) {
		empty := h.open(h.T, h.TempDir())
		defer func() { h.check(empty.Close()) }()
		var made atomic.Int32
		together(8, func(i int) {
			name := string(rune('a' + i))
			err := empty.Bootstrap(h.ctx, account.User{ID: name, Username: name, Operator: true, CreatedAt: noon}, "hash",
				account.Organization{Name: "first", CreatedAt: noon}, event(audit.UserCreate, name))
			if err == nil {
				made.Add(1)
			} else if !fault.Is(err, fault.Conflict) {
				h.Error(err)
			}
		})
		h.same(int32(1), made.Load())
		first, err := empty.OrganizationByName(h.ctx, "first")
		h.check(err)
		members, err := empty.Members(h.ctx, first.ID)
		h.check(err)
		h.same(1, len(members))
		h.same(account.Admin, members[0].Role)
		_, count, err := empty.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{0}, Limit: 1})
		h.check(err)
		h.same(1, count)
	}},
}

var organizations = []sentence{
	{"an organisation is found by id and by name whatever its case", func(h *house) {
		got, err := h.OrganizationByID(h.ctx, h.acme.ID)
		h.check(err)
		h.same(account.Organization{ID: h.acme.ID, Name: "acme", CreatedAt: noon}, got)
		got, err = h.OrganizationByName(h.ctx, "ACME")
		h.check(err)
		h.same(h.acme, got)
	}},
	{"its first event tells its id", func(h *house) {
		events, _, err := h.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{h.acme.ID}, Verb: audit.OrganizationCreate, Limit: 5})
		h.check(err)
		h.same(1, len(events))
	}},
	{"a name that differs only by case is taken", func(h *house) {
		_, err := h.CreateOrganization(h.ctx, account.Organization{Name: "Acme"}, h.ada.ID, event(audit.OrganizationCreate, "Acme"))
		h.refused(fault.Conflict, err)
	}},
	{"an organisation needs an admin that is there", func(h *house) {
		h.audits(audit.OrganizationCreate, 0, func() {
			_, err := h.CreateOrganization(h.ctx, account.Organization{Name: "ghosts"}, "nobody", event(audit.OrganizationCreate, "ghosts"))
			h.refused(fault.NotFound, err)
		})
		_, err := h.OrganizationByName(h.ctx, "ghosts")
		h.refused(fault.NotFound, err)
	}},
	{"members are listed by name, memberships by organisation", func(h *house) {
		bob, zoe := h.user("Bob"), h.user("zoe")
		beta := h.organization("Beta", bob)
		h.check(h.SetMember(h.ctx, h.acme.ID, zoe.ID, account.Member, event(audit.MemberSet, "zoe")))
		h.audits(audit.MemberSet, 1, func() {
			h.check(h.SetMember(h.ctx, h.acme.ID, bob.ID, account.Member, event(audit.MemberSet, "Bob")))
		})
		members, err := h.Members(h.ctx, h.acme.ID)
		h.check(err)
		h.same([]account.Membership{
			{Organization: h.acme, UserID: h.ada.ID, Username: "ada", Role: account.Admin},
			{Organization: h.acme, UserID: bob.ID, Username: "Bob", Role: account.Member},
			{Organization: h.acme, UserID: zoe.ID, Username: "zoe", Role: account.Member},
		}, members)
		memberships, err := h.Memberships(h.ctx, bob.ID)
		h.check(err)
		h.same([]account.Membership{
			{Organization: h.acme, UserID: bob.ID, Username: "Bob", Role: account.Member},
			{Organization: beta, UserID: bob.ID, Username: "Bob", Role: account.Admin},
		}, memberships)
	}},
	{"the last admin can neither leave nor step down", func(h *house) {
		h.audits(audit.MemberRemove, 0, func() {
			h.refused(fault.Conflict, h.RemoveMember(h.ctx, h.acme.ID, h.ada.ID, event(audit.MemberRemove, "ada")))
		})
		h.audits(audit.MemberSet, 0, func() {
			h.refused(fault.Conflict, h.SetMember(h.ctx, h.acme.ID, h.ada.ID, account.Member, event(audit.MemberSet, "ada")))
		})
		members, err := h.Members(h.ctx, h.acme.ID)
		h.check(err)
		h.same(account.Admin, members[0].Role)
	}},
	{"of two admins who leave at once one stays", func(h *house) {
		bob := h.user("bob")
		for range 10 {
			h.check(h.SetMember(h.ctx, h.acme.ID, h.ada.ID, account.Admin, event(audit.MemberSet, "ada")))
			h.check(h.SetMember(h.ctx, h.acme.ID, bob.ID, account.Admin, event(audit.MemberSet, "bob")))
			var left atomic.Int32
			together(2, func(i int) {
				if h.RemoveMember(h.ctx, h.acme.ID, []string{h.ada.ID, bob.ID}[i], event(audit.MemberRemove, "one")) == nil {
					left.Add(1)
				}
			})
			h.same(int32(1), left.Load())
		}
	}},
	{"who is no member cannot be removed, and who is no user not added", func(h *house) {
		bob := h.user("bob")
		h.refused(fault.NotFound, h.RemoveMember(h.ctx, h.acme.ID, bob.ID, event(audit.MemberRemove, "bob")))
		h.refused(fault.NotFound, h.SetMember(h.ctx, h.acme.ID, "nobody", account.Member, event(audit.MemberSet, "nobody")))
		h.refused(fault.NotFound, h.SetMember(h.ctx, 9999, bob.ID, account.Member, event(audit.MemberSet, "bob")))
	}},
}

var projects = []sentence{
	{"a project is found with the name of its owner", func(h *house) {
		got, err := h.ProjectByID(h.ctx, h.vision.ID)
		h.check(err)
		h.same(h.vision, got)
		_, err = h.ProjectByID(h.ctx, "none")
		h.refused(fault.NotFound, err)
	}},
	{"a name is unique among those of one owner, without case", func(h *house) {
		beta := h.organization("beta", h.ada)
		h.project("vision", beta)
		again := h.vision
		again.ID, again.Name = "p2", "Vision"
		h.audits(audit.ProjectCreate, 0, func() {
			h.refused(fault.Conflict, h.CreateProject(h.ctx, again, event(audit.ProjectCreate, "Vision")))
		})
		again.Owner = account.Owner{UserID: h.ada.ID, Name: "ada"}
		h.check(h.CreateProject(h.ctx, again, event(audit.ProjectCreate, "Vision")))
		again.ID = "p3"
		h.refused(fault.Conflict, h.CreateProject(h.ctx, again, event(audit.ProjectCreate, "Vision")))
	}},
	{"projects are those of the organisations and one's own, by owner and name", func(h *house) {
		beta, gamma := h.organization("Beta", h.ada), h.organization("gamma", h.ada)
		speech := h.project("Speech", h.acme)
		other := h.project("other", beta)
		h.project("hidden", gamma)
		own := account.Project{ID: "own", Name: "own", Owner: account.Owner{UserID: h.ada.ID, Name: "ada"}, CreatedAt: noon}
		h.check(h.CreateProject(h.ctx, own, event(audit.ProjectCreate, "own")))
		got, err := h.Projects(h.ctx, []int64{beta.ID, h.acme.ID}, h.ada.ID)
		h.check(err)
		h.same([]account.Project{speech, h.vision, own, other}, got)
		got, err = h.Projects(h.ctx, nil, h.ada.ID)
		h.check(err)
		h.same([]account.Project{own}, got)
		got, err = h.Projects(h.ctx, nil, "")
		h.check(err)
		h.same([]account.Project(nil), got)
	}},
	{"a project needs an owner that is there", func(h *house) {
		ghost := account.Project{ID: "g", Name: "g", Owner: account.Owner{OrganizationID: 9999}}
		h.refused(fault.NotFound, h.CreateProject(h.ctx, ghost, event(audit.ProjectCreate, "g")))
	}},
}

var tokens = []sentence{
	{"a token is found by the hash of its text", func(h *house) {
		token := account.Token{ID: "t1", Name: "laptop", UserID: h.ada.ID, CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}
		h.audits(audit.TokenCreate, 1, func() {
			h.check(h.CreateToken(h.ctx, token, "hash", event(audit.TokenCreate, "laptop")))
		})
		got, err := h.TokenByHash(h.ctx, "hash")
		h.check(err)
		h.same(token, got)
		_, err = h.TokenByHash(h.ctx, "other")
		h.refused(fault.NotFound, err)
	}},
	{"a user's tokens and the machines' are apart, newest first", func(h *house) {
		for _, token := range []account.Token{
			{ID: "1", Name: "old", UserID: h.ada.ID},
			{ID: "2", Name: "gpu"},
			{ID: "3", Name: "new", UserID: h.ada.ID},
			{ID: "4", Name: "cpu"},
			{ID: "5", Name: "near", Cache: true},
		} {
			h.check(h.CreateToken(h.ctx, token, "hash "+token.ID, event(audit.TokenCreate, token.Name)))
		}
		own, err := h.Tokens(h.ctx, h.ada.ID)
		h.check(err)
		h.same([]account.Token{{ID: "3", Name: "new", UserID: h.ada.ID}, {ID: "1", Name: "old", UserID: h.ada.ID}}, own)
		machines, err := h.Tokens(h.ctx, "")
		h.check(err)
		h.same([]account.Token{{ID: "5", Name: "near", Cache: true}, {ID: "4", Name: "cpu"}, {ID: "2", Name: "gpu"}}, machines)
	}},
	{"the last use is noted, and a deleted token is gone", func(h *house) {
		h.check(h.CreateToken(h.ctx, account.Token{ID: "t1", Name: "gpu", CreatedAt: noon}, "hash", event(audit.TokenCreate, "gpu")))
		h.check(h.TouchToken(h.ctx, "t1", noon.Add(time.Minute)))
		got, err := h.TokenByHash(h.ctx, "hash")
		h.check(err)
		h.same(noon.Add(time.Minute), got.LastUsedAt)
		h.audits(audit.TokenDelete, 1, func() { h.check(h.DeleteToken(h.ctx, "t1", event(audit.TokenDelete, "gpu"))) })
		_, err = h.TokenByHash(h.ctx, "hash")
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.DeleteToken(h.ctx, "t1", event(audit.TokenDelete, "gpu")))
		h.refused(fault.NotFound, h.TouchToken(h.ctx, "t1", noon))
	}},
}

var environments = []sentence{
	{"one environment is there from the beginning", func(h *house) {
		all, err := h.Environments(h.ctx)
		h.check(err)
		h.same(1, len(all))
		h.same(account.DefaultEnvironmentID, all[0].ID)
		h.same(true, all[0].Enabled)
	}},
	{"an environment comes back as it was stored and changed, in the order of names", func(h *house) {
		gpus := account.Environment{
			ID: "e1", Name: "Big GPUs", Slug: "big-gpus", Description: "for vision", Limit: 2, UserQuota: 3,
			Enabled: true, Restricted: true, Projects: []string{h.vision.ID}, CreatedAt: noon,
		}
		h.audits(audit.EnvironmentCreate, 1, func() {
			h.check(h.CreateEnvironment(h.ctx, gpus, event(audit.EnvironmentCreate, gpus.Name)))
		})
		all, err := h.Environments(h.ctx)
		h.check(err)
		h.same(2, len(all))
		h.same(gpus, all[0])
		gpus.Name, gpus.Slug, gpus.Enabled, gpus.Restricted, gpus.Projects = "Small GPUs", "small-gpus", false, false, nil
		h.audits(audit.EnvironmentUpdate, 1, func() {
			h.check(h.UpdateEnvironment(h.ctx, gpus, event(audit.EnvironmentUpdate, gpus.Name)))
		})
		all, err = h.Environments(h.ctx)
		h.check(err)
		h.same(gpus, all[1])
	}},
	{"a name that another environment has is a conflict", func(h *house) {
		h.refused(fault.Conflict, h.CreateEnvironment(h.ctx, account.Environment{ID: "e1", Name: "DEFAULT", Slug: "x"}, event(audit.EnvironmentCreate, "x")))
		h.refused(fault.Conflict, h.CreateEnvironment(h.ctx, account.Environment{ID: "e1", Name: "x", Slug: "default"}, event(audit.EnvironmentCreate, "x")))
	}},
	{"an environment with a worker's token or an unfinished execution is not deleted", func(h *house) {
		h.check(h.CreateEnvironment(h.ctx, account.Environment{ID: "e1", Name: "gpus", Slug: "gpus"}, event(audit.EnvironmentCreate, "gpus")))
		h.check(h.CreateToken(h.ctx, account.Token{ID: "t1", Name: "worker", EnvironmentID: "e1"}, "hash", event(audit.TokenCreate, "worker")))
		token, err := h.TokenByHash(h.ctx, "hash")
		h.check(err)
		h.same("e1", token.EnvironmentID)
		h.refused(fault.Conflict, h.DeleteEnvironment(h.ctx, "e1", event(audit.EnvironmentDelete, "gpus")))
		h.check(h.DeleteToken(h.ctx, "t1", event(audit.TokenDelete, "worker")))
		draft := h.draftExecution(h.vision, "one")
		draft.Environment.ID = "e1"
		created, err := h.CreateExecution(h.ctx, draft, nil, event(audit.ExecutionCreate, "one"))
		h.check(err)
		h.same(execution.EnvironmentName{ID: "e1", Name: "gpus", Slug: "gpus"}, created.Environment)
		h.refused(fault.Conflict, h.DeleteEnvironment(h.ctx, "e1", event(audit.EnvironmentDelete, "gpus")))
		_, err = h.RequestStop(h.ctx, created.ID, noon, nil, event(audit.ExecutionStop, "one"))
		h.check(err)
		h.audits(audit.EnvironmentDelete, 1, func() {
			h.check(h.DeleteEnvironment(h.ctx, "e1", event(audit.EnvironmentDelete, "gpus")))
		})
		h.same(execution.EnvironmentName{ID: "e1"}, h.load(created.ID).Environment)
		h.refused(fault.NotFound, h.DeleteEnvironment(h.ctx, "e1", event(audit.EnvironmentDelete, "gpus")))
	}},
}
