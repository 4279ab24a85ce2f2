package depottest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// list gives the files and folders below a prefix, some at a time.
// https://cloud.google.com/storage/docs/json_api/v1/objects/list
func (g *googleCloud) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	most, err := strconv.Atoi(query.Get("maxResults"))
	if err != nil || most > listMost {
		most = listMost
	}
	var answer struct {
		Kind     string              `json:"kind"`
		Items    []map[string]string `json:"items,omitempty"`
		Prefixes []string            `json:"prefixes,omitempty"`
		Next     string              `json:"nextPageToken,omitempty"`
	}
	answer.Kind = "storage#objects"
	for _, key := range g.below(query.Get("prefix")) {
		name, folder := key, ""
		if delimiter := query.Get("delimiter"); delimiter != "" {
			if before, _, in := strings.Cut(strings.TrimPrefix(key, query.Get("prefix")), delimiter); in {
				folder = query.Get("prefix") + before + delimiter
				name = folder
			}
		}
		if token := query.Get("pageToken"); token != "" && name <= token || slices.Contains(answer.Prefixes, folder) {
			continue
		}
		if len(answer.Items)+len(answer.Prefixes) == most {
			break
		}
		answer.Next = name
		if folder != "" {
			answer.Prefixes = append(answer.Prefixes, folder)
			continue
		}
		if found, is := g.find(key); is {
			answer.Items = append(answer.Items, resource(key, found))
		}
	}
	if len(answer.Items)+len(answer.Prefixes) < most {
		answer.Next = ""
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}
