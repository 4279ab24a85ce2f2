package diagnosis

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

// IsCacheAway reports whether a fault tells that a pull-through cache is not there, or
// cannot say anything about the image: whoever may ask the registry can do that.
func IsCacheAway(err error) bool {
	if err == nil {
		return false
	}
	switch fault.From(err).Code {
	case "cache_unreachable", "cache_missing", "cache_failed", "cache_uncovered":
		return true
	default:
		return false
	}
}

// cacheUnreachable is for a cache that did not answer, and why.
func cacheUnreachable(why string) *fault.Error {
	return fault.New(fault.Unavailable, "cache_unreachable", "the pull-through cache is out of reach: %s", why).
		WithHint("Check that the cache is running, and that the worker's machine may reach it.")
}

// ofNetwork is the fault of a row. A cache's is its own, so that no registry is blamed.
func ofNetwork(d networkDiagnosis, subject Subject, err error) *fault.Error {
	f := d.fault(subject.Image, err)
	if subject.Service != Cache || errors.Is(err, context.Canceled) {
		return f
	}
	return cacheUnreachable(f.Message)
}

// cacheRows are what a pull-through cache says to a worker. Its words are a sentence
// with the next step, and the code that the server has for it.
var cacheRows = []Row{
	{
		Services: []Service{Cache}, Says: regexp.MustCompile(`lease_lost$`),
		Kind: fault.Unauthenticated, Code: "cache_lease",
		Sentence: "the pull-through cache {host} gives no more of {image}, since the worker no longer holds the execution",
		Hint:     "Another worker may have it: nothing is lost.",
	},
	{
		Services: []Service{Cache}, Statuses: []int{http.StatusUnauthorized},
		Kind: fault.Unauthenticated, Code: "cache_login",
		Sentence: "the pull-through cache {host} does not accept this worker's own token, so {image} was not pulled",
		Hint:     "Check that --through-cache names a cache of the server that the worker belongs to, and that its token was not deleted.",
	},
	{
		Services: []Service{Cache}, Statuses: []int{http.StatusForbidden}, Says: regexp.MustCompile(`upstream_unknown$`),
		Kind: fault.Denied, Code: "cache_uncovered",
		Sentence: "the pull-through cache {host} has no way to {image} for everybody",
		Hint:     "Register a credential that covers it, or have the operator name its host with --cache-upstream.",
	},
	{
		Services: []Service{Cache}, Statuses: []int{http.StatusForbidden},
		Kind: fault.Denied, Code: "cache_denied",
		Sentence: "the pull-through cache {host} does not give {image} to this execution",
		Hint:     "Follow the cache's words: they are about the credential that the project's organisation has for the image.",
	},
	{
		Services: []Service{Cache}, Statuses: []int{http.StatusNotFound}, Codes: []string{oci.CodeManifestUnknown, oci.CodeNameUnknown, oci.CodeBlobUnknown},
		Kind: fault.NotFound, Code: "image_not_found",
		Sentence: "the pull-through cache {host} found no {image} at its registry, or none that the credential may see",
		Hint:     "Check the name, the tag or digest, and that the image was pushed there.",
	},
	{
		Services: []Service{Cache}, Statuses: []int{http.StatusTooManyRequests},
		Kind: fault.Exhausted, Code: "rate_limited",
		Sentence: "the pull-through cache {host} was allowed no more requests for now by the registry of {image}",
		Hint:     "Wait for the limit to reset, or use a credential with a higher limit.",
	},
	{
		Services: []Service{Cache}, Least: http.StatusInternalServerError,
		Kind: fault.Unavailable, Code: "cache_failed",
		Sentence: "the pull-through cache {host} could not give {image}",
		Hint:     "Follow the cache's words; its log has the details.",
	},
	{
		Services: []Service{Cache},
		Kind:     fault.Unavailable, Code: "cache_missing",
		Sentence: "there is no pull-through cache at {host}, which was asked for {image}",
		Hint:     "Start the server with --cache, or name another cache with --through-cache.",
	},
}
