package oci_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

func TestRateLimitHeadersAreReadAsDockerHubWritesThem(t *testing.T) {
	tests := map[string]struct {
		header http.Header
		want   oci.RateLimit
		found  bool
	}{
		"Docker Hub": {
			http.Header{"Ratelimit-Limit": {"200;w=21600"}, "Ratelimit-Remaining": {"17;w=21600"}, "Docker-Ratelimit-Source": {"192.0.2.7"}},
			oci.RateLimit{Limit: 200, Remaining: 17, Window: 6 * time.Hour, Source: "192.0.2.7"},
			true,
		},
		"without a window":   {http.Header{"Ratelimit-Limit": {"100"}, "Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"60"}}, oci.RateLimit{Limit: 100, Reset: time.Minute}, true},
		"an endless wait":    {http.Header{"Ratelimit-Remaining": {"0"}, "Ratelimit-Reset": {"99999999999999"}}, oci.RateLimit{Reset: 24 * time.Hour}, true},
		"none":               {http.Header{}, oci.RateLimit{}, false},
		"not a number":       {http.Header{"Ratelimit-Limit": {"many"}}, oci.RateLimit{}, false},
		"a negative number":  {http.Header{"Ratelimit-Limit": {"-1"}}, oci.RateLimit{}, false},
		"an unusable window": {http.Header{"Ratelimit-Limit": {"5;w=x"}}, oci.RateLimit{Limit: 5}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, found := oci.ParseRateLimit(test.header)
			if diff := cmp.Diff(test.want, got); diff != "" || found != test.found {
				t.Errorf("found = %v, limit (-want +got):\n%s", found, diff)
			}
		})
	}
}

func TestATooFrequentPullTellsWhatIsLeftAndHowLongToWait(t *testing.T) {
	f := newFarSide(t, answer(http.StatusTooManyRequests,
		`{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`,
		"Ratelimit-Limit", "100;w=21600", "Ratelimit-Remaining", "0;w=21600", "Retry-After", "90"))
	_, _, err := f.client().Manifest(t.Context(), train, oci.Anonymous)
	got := wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Exhausted, "rate_limited")
	if got.RetryAfter != 90*time.Second {
		t.Errorf("wait %s, want 90s", got.RetryAfter)
	}
	want := "registry.example.com allows no more requests for now, so registry.example.com/acme/train:v1 was not pulled " +
		"(it says: TOOMANYREQUESTS: You have reached your pull rate limit.) (0 of 100 pulls left in 6h0m0s)"
	if diff := cmp.Diff(want, got.Message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}
