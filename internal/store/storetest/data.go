package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

func (h *house) addDatum(lease, id, name string) (dropped []string) {
	h.Helper()
	dropped, err := h.AddDatum(h.ctx, lease, execution.Datum{ID: id, Name: name, Size: 7, SHA256: "abc", Key: "key-" + id, CreatedAt: noon}, event(audit.DatumCreate, name))
	h.check(err)
	return dropped
}

// dataOf are the ids of an execution's data.
func (h *house) dataOf(executionID string, page execution.Page) (ids []string, count int) {
	h.Helper()
	data, count, err := h.Data(h.ctx, execution.DatumFilter{ProjectIDs: []string{h.vision.ID}, ExecutionID: executionID, Page: page})
	h.check(err)
	for _, d := range data {
		ids = append(ids, d.ID)
	}
	return ids, count
}

var data = []sentence{
	{"a datum comes back as it was left", func(h *house) {
		e := h.held()
		h.same(0, len(h.addDatum("l1", "d1", "deep/röd 日本.bin")))
		got, err := h.DatumByID(h.ctx, "d1")
		h.check(err)
		h.same(execution.Datum{
			ID: "d1", ProjectID: h.vision.ID, ExecutionID: e.ID, Counter: 1, Name: "deep/röd 日本.bin", Size: 7, SHA256: "abc", Key: "key-d1", CreatedAt: noon,
		}, got)
		_, err = h.DatumByID(h.ctx, "none")
		h.same(true, fault.Is(err, fault.NotFound))
	}},
	{"a file of the same name takes the other's place, and its key is told", func(h *house) {
		e := h.held()
		h.addDatum("l1", "d1", "a")
		h.addDatum("l1", "d2", "b")
		h.same([]string{"key-d1"}, h.addDatum("l1", "d3", "a"))
		ids, count := h.dataOf(e.ID, execution.Page{Limit: 10})
		h.same([]string{"d3", "d2"}, ids)
		h.same(2, count)
	}},
	{"an execution that began anew has the files of its last attempt alone", func(h *house) {
		e := h.held()
		h.addDatum("l1", "d1", "a")
		h.addDatum("l1", "d2", "b")
		h.check(h.RequeueLease(h.ctx, "l1", nil))
		h.take("l2")
		dropped := h.addDatum("l2", "d3", "c")
		slices.Sort(dropped)
		h.same([]string{"key-d1", "key-d2"}, dropped)
		ids, _ := h.dataOf(e.ID, execution.Page{Limit: 10})
		h.same([]string{"d3"}, ids)
		_, err := h.AddDatum(h.ctx, "l1", execution.Datum{ID: "d4", Name: "d", Key: "k", CreatedAt: noon}, event(audit.DatumCreate, "d"))
		h.same(true, fault.Is(err, fault.NotFound))
	}},
	{"data are listed a page at a time, and only of the projects that are asked for", func(h *house) {
		e := h.held()
		for i := range 5 {
			h.addDatum("l1", fmt.Sprint("d", i), fmt.Sprint("file", i))
		}
		ids, count := h.dataOf("", execution.Page{Limit: 2, Offset: 1})
		h.same([]string{"d3", "d2"}, ids)
		h.same(5, count)
		others, count, err := h.Data(h.ctx, execution.DatumFilter{ProjectIDs: []string{"another"}, ExecutionID: e.ID, Page: execution.Page{Limit: 10}})
		h.check(err)
		h.same(0, len(others)+count)
	}},
	{"a purged datum is still known", func(h *house) {
		h.held()
		h.addDatum("l1", "d1", "a")
		h.check(h.PurgeDatum(h.ctx, "d1", noon.Add(time.Hour), event(audit.DatumPurge, "d1")))
		got, err := h.DatumByID(h.ctx, "d1")
		h.check(err)
		h.same(noon.Add(time.Hour), got.PurgedAt)
		h.same(true, fault.Is(h.PurgeDatum(h.ctx, "none", noon, event(audit.DatumPurge, "none")), fault.NotFound))
	}},
	{"what is known of an execution's files goes with it", func(h *house) {
		e := h.held()
		h.addDatum("l1", "d1", "a")
		h.finish("l1")
		h.check(h.DeleteExecution(h.ctx, e.ID, event(audit.ExecutionDelete, "")))
		_, err := h.DatumByID(h.ctx, "d1")
		h.same(true, fault.Is(err, fault.NotFound))
	}},
	{"metadata are stored with their lines, once", func(h *house) {
		e := h.held()
		told := func(texts ...string) (metadata []execution.Metadatum) {
			for _, text := range texts {
				metadata = append(metadata, execution.Metadatum{Time: noon, Body: json.RawMessage(text)})
			}
			return metadata
		}
		h.check(h.AppendLog(h.ctx, "l1", 1, status("x"), told(`{"a":1}`, `{"a":2}`)...))
		h.check(h.AppendLog(h.ctx, "l1", 1, status("x"), told(`{"a":1}`, `{"a":2}`)...))
		h.check(h.AppendLog(h.ctx, "l1", 2, status("y"), told(`{"a":3}`)...))
		got, count, err := h.Metadata(h.ctx, e.ID, 1, 10)
		h.check(err)
		h.same(int64(3), count)
		h.same([]execution.Metadatum{
			{Number: 2, Time: noon, Body: json.RawMessage(`{"a":2}`)},
			{Number: 3, Time: noon, Body: json.RawMessage(`{"a":3}`)},
		}, got)
		got, _, err = h.Metadata(h.ctx, e.ID, 0, 1)
		h.check(err)
		h.same(1, len(got))
	}},
}
