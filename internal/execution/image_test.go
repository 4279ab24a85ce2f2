package execution_test

import (
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

func TestTheImagesThatWereRunLatelyAreForMembersAlone(t *testing.T) {
	w := newWorks(t)
	for _, name := range []string{"ghcr.io/acme/a:v1", "ghcr.io/acme/b", "ghcr.io/acme/a:v1"} {
		if _, err := w.Create(t.Context(), w.member, execution.Draft{Project: w.project.ID, Commit: w.commit, Step: "train", Image: name}); err != nil {
			t.Fatal(err)
		}
	}
	organization := w.project.Owner.OrganizationID
	images, err := w.RecentImages(t.Context(), w.member, organization, 10)
	var names []string
	for _, ref := range images {
		names = append(names, ref.String())
	}
	if err != nil || !slices.Equal(names, []string{"ghcr.io/acme/a:v1", "ghcr.io/acme/b:latest"}) {
		t.Errorf("got %v, %v", names, err)
	}
	if images, err := w.RecentImages(t.Context(), w.member, organization, 1); err != nil || len(images) != 1 {
		t.Errorf("got %v, %v", images, err)
	}
	if _, err := w.RecentImages(t.Context(), account.Actor{UserID: "x", Username: "eve"}, organization, 10); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger got %v", err)
	}
}
