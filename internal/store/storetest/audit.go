package storetest

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

var trail = []sentence{
	{"events come back newest first, as they were written", func(h *house) {
		first, second := event(audit.GrantIssue, "one"), event(audit.GrantIssue, "two")
		second.OrganizationID, second.ExecutionID, second.Result = h.acme.ID, "e1", "unauthorized"
		second.Details = map[string]string{"repository": "acme/train"}
		h.check(h.Record(h.ctx, first, second))
		h.check(h.Record(h.ctx))
		got, count, err := h.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{0, h.acme.ID}, Verb: audit.GrantIssue, Limit: 10})
		h.check(err)
		h.same(2, count)
		h.same(true, got[0].ID == got[1].ID+1)
		first.ID, second.ID = got[1].ID, got[0].ID
		first.Previous, second.Previous = got[1].Previous, got[1].Hash
		first.Hash = first.Digest()
		second.Hash = second.Digest()
		h.same([]audit.Link{{Event: second}, {Event: first}}, got)
	}},
	{"every event is hashed with the one before it, whatever it holds", func(h *house) {
		odd := event(audit.ExecutionCreate, "a\x00b\xff, 5:x,\u2028")
		odd.Time = noon.Add(7 * time.Nanosecond).In(time.FixedZone("", 3600))
		odd.Details = map[string]string{"": "", "z": "1", "a\xff": "\xfe<&>"}
		h.check(h.Record(h.ctx, odd, audit.Event{}))
		h.restart()
		h.check(h.Record(h.ctx, event(audit.KeysRotate, "after")))
		var at audit.Point
		chain, links, err := h.ReadChain(h.ctx, 0, 100)
		h.check(err)
		for _, link := range links {
			h.same(at, audit.Point{ID: link.ID - 1, Hash: link.Previous})
			h.same(link.Hash, link.Digest())
			at = link.Point()
		}
		h.same(audit.Chain{Head: at}, chain)
		report, err := audit.Verify(h.ctx, h, audit.Point{}, nil)
		h.check(err)
		h.same(audit.Report{Count: at.ID, Chain: chain, First: &links[0].Event, Last: &links[len(links)-1].Event}, report)
	}},
	{"the chain is read from a row on, as many as are asked for", func(h *house) {
		for i := range 5 {
			h.check(h.Record(h.ctx, event(audit.KeysRotate, fmt.Sprint(i))))
		}
		chain, links, err := h.ReadChain(h.ctx, 2, 3)
		h.check(err)
		h.same([]int64{3, 4, 5}, []int64{links[0].ID, links[1].ID, links[2].ID})
		_, links, err = h.ReadChain(h.ctx, chain.Head.ID, 3)
		h.check(err)
		h.same(0, len(links))
	}},
	{"the oldest events are removed for their age, and the chain goes on from there", func(h *house) {
		h.check(h.Record(h.ctx, event(audit.KeysRotate, "old")))
		for i := range 1200 { // more than one batch
			e := event(audit.KeysRotate, fmt.Sprint(i))
			e.Time = noon.Add(time.Duration(i) * time.Minute)
			h.check(h.Record(h.ctx, e))
		}
		whole, _, err := h.ReadChain(h.ctx, 0, 0)
		h.check(err)
		noted := whole.Head
		now := noon.Add(48 * time.Hour)
		keep := now.Sub(noon.Add(1190 * time.Minute))
		removed, err := audit.Expire(h.ctx, h, now, keep, 100)
		h.check(err)
		h.same(100, removed)
		more, err := audit.Expire(h.ctx, h, now, keep, 1<<62)
		h.check(err)
		h.restart()
		h.same(whole.Head.ID-10, int64(removed+more))
		report, err := audit.Verify(h.ctx, h, noted, nil)
		h.check(err)
		h.same([]any{(*audit.Problem)(nil), audit.NotedThere, whole.Head.ID - 9}, []any{report.Problem, report.Noted, report.First.ID})
		told, count, err := h.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{0}, Verb: audit.TrailExpire, Limit: 10})
		h.check(err)
		h.same(4, count) // 100, 500, 500 and the rest
		h.same(map[string]string{
			"removed": fmt.Sprint(more - 1000), "last_id": fmt.Sprint(report.Chain.Floor.ID), "last_hash": report.Chain.Floor.Hash.String(), "keep": keep.String(),
		}, told[0].Details)
		again, err := audit.Expire(h.ctx, h, now, keep, 1<<62)
		h.check(err)
		h.same(0, again)
		h.same(4, h.audited(audit.TrailExpire))
	}},
	{"what was removed is still compared as the floor, and else told to be removed", func(h *house) {
		chain, links, err := h.ReadChain(h.ctx, 0, 100)
		h.check(err)
		_, err = audit.Expire(h.ctx, h, noon.Add(time.Hour), time.Minute, 1<<62)
		h.check(err)
		for _, test := range []struct {
			noted audit.Point
			want  audit.Noted
		}{
			{chain.Head, audit.NotedThere},
			{audit.Point{Hash: chain.Head.Hash}, audit.NotedThere},
			{audit.Point{ID: chain.Head.ID, Hash: links[0].Hash}, audit.NotedWrong},
			{links[0].Point(), audit.NotedRemoved},
			{audit.Point{Hash: links[0].Hash}, audit.NotedWrong},
		} {
			report, err := audit.Verify(h.ctx, h, test.noted, nil)
			h.check(err)
			h.same([]any{test.want, test.want == audit.NotedWrong}, []any{report.Noted, report.Problem != nil})
		}
	}},
	{"a list is bounded by organisation, verb and execution", func(h *house) {
		for i := range 6 {
			e := event(audit.GrantIssue, fmt.Sprint(i))
			e.OrganizationID, e.ExecutionID = int64(i%2)*1000, fmt.Sprint("e", i%3)
			h.check(h.Record(h.ctx, e))
		}
		for _, test := range []struct {
			filter audit.Filter
			want   int
		}{
			{audit.Filter{}, 0},
			{audit.Filter{Verb: audit.GrantIssue}, 0},
			{audit.Filter{OrganizationIDs: []int64{1000}}, 3},
			{audit.Filter{OrganizationIDs: []int64{1000, 0}, Verb: audit.GrantIssue}, 6},
			{audit.Filter{OrganizationIDs: []int64{1000, 0}, ExecutionID: "e2"}, 2},
			{audit.Filter{OrganizationIDs: []int64{1000}, Verb: audit.UserCreate}, 0},
		} {
			test.filter.Limit = 100
			got, count, err := h.Events(h.ctx, test.filter)
			h.check(err)
			h.same([]int{test.want, test.want}, []int{len(got), count})
		}
	}},
	{"a list is bounded by who, what, on what, with what result and when", func(h *house) {
		at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
		for i, e := range []audit.Event{
			{Verb: audit.CredentialCreate, Actor: "ada", ObjectID: "c1", ObjectName: "hub", Result: "ok"},
			{Verb: audit.CredentialCheck, Actor: "ben", ObjectID: "c1", ObjectName: "hub", Result: "unauthorized"},
			{Verb: audit.CredentialCheck, Actor: "ada", ObjectID: "hub", ObjectName: "hub", Result: "ok"},
			{Verb: audit.CredentialDelete, Actor: "ada", ObjectID: "c1", ObjectName: "ecr", Result: "denied"},
			{Verb: "credentials.odd", Actor: "eve", ObjectID: "c1", ObjectName: "ecr", Result: "unauthorized", ExecutionID: "e1"},
			{Verb: "credential.zz", Actor: "adam", ObjectID: "c2", ObjectName: "ecr", Result: "ok", ExecutionID: "e1"},
		} {
			e.Time, e.OrganizationID = at(i), 1000+int64(i%2)
			if i == 3 {
				e.Time = at(-100) // the clock was wrong
			}
			h.check(h.Record(h.ctx, e))
		}
		chain, _, err := h.ReadChain(h.ctx, 0, 0)
		h.check(err)
		first := chain.Head.ID - 5
		for i, test := range []struct {
			filter audit.Filter
			want   []int64
		}{
			{audit.Filter{}, []int64{0, 1, 2, 3, 4, 5}},
			{audit.Filter{Verb: "credential"}, []int64{0, 1, 2, 3, 5}},
			{audit.Filter{Verb: "credential."}, []int64{0, 1, 2, 3, 5}},
			{audit.Filter{Verb: "credential.c"}, nil},
			{audit.Filter{Verb: "."}, nil},
			{audit.Filter{Verb: audit.CredentialCheck}, []int64{1, 2}},
			{audit.Filter{Actor: "ada"}, []int64{0, 2, 3}},
			{audit.Filter{Actor: "ada", Verb: "credential", Result: "ok"}, []int64{0, 2}},
			{audit.Filter{Object: "hub"}, []int64{0, 1, 2}},
			{audit.Filter{Object: "c1"}, []int64{0, 1, 3, 4}},
			{audit.Filter{Object: "c1", Actor: "ada", Verb: "credential"}, []int64{0, 3}},
			{audit.Filter{Result: "ok"}, []int64{0, 2, 5}},
			{audit.Filter{Result: audit.Failed}, []int64{1, 3, 4}},
			{audit.Filter{Result: audit.Failed, Verb: "credential"}, []int64{1, 3}},
			{audit.Filter{Result: "unauthorized"}, []int64{1, 4}},
			{audit.Filter{Result: "nonsense"}, nil},
			{audit.Filter{ExecutionID: "e1"}, []int64{4, 5}},
			{audit.Filter{ExecutionID: "e1", Object: "ecr", Actor: "eve"}, []int64{4}},
			{audit.Filter{Since: at(1)}, []int64{1, 2, 4, 5}},
			{audit.Filter{Until: at(1)}, []int64{0, 3}},
			{audit.Filter{Since: at(1), Until: at(4), Verb: "credential"}, []int64{1, 2}},
			{audit.Filter{OrganizationIDs: []int64{1000}}, []int64{0, 2, 4}},
			{audit.Filter{OrganizationIDs: []int64{1001}, Object: "c1"}, []int64{1, 3}},
			{audit.Filter{OrganizationIDs: []int64{7}, Object: "c1"}, nil},
		} {
			if test.filter.OrganizationIDs == nil {
				test.filter.OrganizationIDs = []int64{1000, 1001}
			}
			test.filter.Limit = 100
			newest, count, err := h.Events(h.ctx, test.filter)
			h.check(err)
			oldest, err := h.EventsAfter(h.ctx, test.filter, 0)
			h.check(err)
			if len(newest) != len(test.want) || count != len(test.want) || len(oldest) != len(test.want) {
				h.Fatalf("%d: %d, %d and %d events, want %d", i, len(newest), count, len(oldest), len(test.want))
			}
			for n, want := range test.want {
				h.same([]int64{first + want, first + want}, []int64{oldest[n].ID, newest[len(newest)-1-n].ID})
			}
		}
	}},
	{"events are found by their time among thousands, also where the clock was put back", func(h *house) {
		const many = 5000
		events := make([]audit.Event, many)
		for i := range events {
			events[i] = event(audit.KeysRotate, fmt.Sprint(i))
			events[i].OrganizationID, events[i].Time = 1000, noon.Add(time.Duration(i)*time.Second)
			if i > 3000 && i < 3500 {
				events[i].Time = events[i].Time.Add(-2000 * time.Second)
			}
		}
		h.check(h.Record(h.ctx, events...))
		for _, bounds := range [][2]int{{0, many}, {100, 110}, {1000, 1500}, {2500, 3600}, {4900, 9000}, {9000, 9001}, {-5, 0}} {
			since, until := noon.Add(time.Duration(bounds[0])*time.Second), noon.Add(time.Duration(bounds[1])*time.Second)
			want := 0
			for _, e := range events {
				if !e.Time.Before(since) && e.Time.Before(until) {
					want++
				}
			}
			filter := audit.Filter{OrganizationIDs: []int64{1000}, Since: since, Until: until, Limit: many}
			got, count, err := h.Events(h.ctx, filter)
			h.check(err)
			h.same([]int{want, min(want, audit.CountMost+1)}, []int{len(got), count})
		}
	}},
	{"a page goes on below an id, with the count of all", func(h *house) {
		for i := range 5 {
			h.check(h.Record(h.ctx, event(audit.KeysRotate, fmt.Sprint(i))))
		}
		filter := audit.Filter{OrganizationIDs: []int64{0}, Verb: audit.KeysRotate, Limit: 2}
		var names []string
		for {
			got, count, err := h.Events(h.ctx, filter)
			h.check(err)
			h.same(5, count)
			for _, e := range got {
				names = append(names, e.ObjectName)
			}
			if len(got) < filter.Limit {
				break
			}
			filter.Before = got[len(got)-1].ID
		}
		h.same([]string{"4", "3", "2", "1", "0"}, names)
	}},
	{"what is read from an id on comes oldest first, each once", func(h *house) {
		for i := range 7 {
			e := event(audit.GrantIssue, fmt.Sprint(i))
			e.OrganizationID = int64(1000 + i%3)
			h.check(h.Record(h.ctx, e))
		}
		filter := audit.Filter{OrganizationIDs: []int64{1000, 1001, 1002}, Verb: "grant", Limit: 2}
		var names string
		for after := int64(0); ; {
			got, err := h.EventsAfter(h.ctx, filter, after)
			h.check(err)
			if len(got) == 0 {
				break
			}
			for _, e := range got {
				names, after = names+e.ObjectName, e.ID
			}
		}
		h.same("0123456", names)
	}},
	{"how far the trail was sent is kept for each target, and never moves back", func(h *house) {
		at := func(name string) int64 {
			position, err := h.StreamPosition(h.ctx, name)
			h.check(err)
			return position
		}
		h.same(int64(0), at("a"))
		h.check(h.MoveStream(h.ctx, "a", 7))
		h.check(h.MoveStream(h.ctx, "b", 3))
		h.check(h.MoveStream(h.ctx, "a", 5))
		h.restart()
		h.same([]int64{7, 3, 0}, []int64{at("a"), at("b"), at("c")})
	}},
	{"no more are counted than a person wants to know", func(h *house) {
		events := make([]audit.Event, audit.CountMost+5)
		for i := range events {
			events[i] = event(audit.KeysRotate, "")
			events[i].OrganizationID = int64(1000 + i%2)
		}
		h.check(h.Record(h.ctx, events...))
		for _, filter := range []audit.Filter{{}, {Verb: "keys"}, {Actor: "ada"}, {Before: 3}} {
			filter.OrganizationIDs, filter.Limit = []int64{1000, 1001}, 1
			_, count, err := h.Events(h.ctx, filter)
			h.check(err)
			h.same(audit.CountMost+1, count)
		}
	}},
	{"what many record at once is all there, each one's in order", func(h *house) {
		const writers, rounds = 24, 20
		together(writers, func(i int) {
			for round := range rounds {
				a, b := event(audit.GrantIssue, fmt.Sprint(round, "a")), event(audit.GrantIssue, fmt.Sprint(round, "b"))
				a.ExecutionID, b.ExecutionID = fmt.Sprint(i), fmt.Sprint(i)
				if err := h.Record(h.ctx, a, b); err != nil {
					h.Error(err)
				}
			}
		})
		h.restart()
		h.same(2*writers*rounds, h.audited(audit.GrantIssue))
		for i := range writers {
			got, _, err := h.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{0}, ExecutionID: fmt.Sprint(i), Limit: 100})
			h.check(err)
			for n, e := range got {
				back := 2*rounds - 1 - n
				h.same(fmt.Sprint(back/2, string(rune('a'+back%2))), e.ObjectName)
			}
		}
	}},
}
