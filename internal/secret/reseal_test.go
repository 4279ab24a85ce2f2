package secret_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/secret"
)

func TestResealingTakesEveryBatchAndCountsWhatItChanged(t *testing.T) {
	left := []string{"a", "b", "overtaken", "c"}
	const batch = 3
	var sealed []string
	count, err := secret.Reseal(t.Context(), new(secret.Sealing),
		func(context.Context) ([]string, error) { return slices.Clone(left[:min(batch, len(left))]), nil },
		func(_ context.Context, name string) (bool, error) {
			left = slices.DeleteFunc(left, func(other string) bool { return other == name })
			if name == "overtaken" {
				return false, nil
			}
			sealed = append(sealed, name)
			return true, nil
		})
	if err != nil || count != 3 || !slices.Equal(sealed, []string{"a", "b", "c"}) {
		t.Errorf("%d sealed, %v: %v", count, sealed, err)
	}
}

func TestResealingEndsAtTheFirstErrorAndTellsHowFarItCame(t *testing.T) {
	broken := errors.New("broken")
	count, err := secret.Reseal(t.Context(), new(secret.Sealing),
		func(context.Context) ([]int, error) { return []int{1, 2, 3}, nil },
		func(_ context.Context, n int) (bool, error) {
			if n == 2 {
				return false, broken
			}
			return true, nil
		})
	if count != 1 || !errors.Is(err, broken) {
		t.Errorf("%d sealed: %v", count, err)
	}
}

func TestResealingWaitsForASecretThatIsSealedAndNotStored(t *testing.T) {
	sealing := new(secret.Sealing)
	stored := false
	end := sealing.Begin()
	seen := make(chan bool)
	go func() {
		_, err := secret.Reseal(context.Background(), sealing,
			func(context.Context) ([]int, error) {
				seen <- stored
				return nil, nil
			}, nil)
		if err != nil {
			t.Error(err)
		}
	}()
	stored = true
	end()
	if !<-seen {
		t.Error("the list was made before the secret was stored")
	}
}
