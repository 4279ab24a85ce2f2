package store_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQLiteKeepsEveryPromiseOfAStore(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T, dir string) storetest.Store { return open(t, dir) })
}
