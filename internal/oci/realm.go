package oci

import (
	"net/url"
	"slices"

	"golang.org/x/net/publicsuffix"

	"fairlead.dev/fairlead/internal/fault"
)

// knownRealms are the token services that registries have on other domains:
// the host of a registry's API to the host of its token service.
//
// https://distribution.github.io/distribution/spec/auth/token/ (Docker Hub)
// https://docs.gitlab.com/administration/packages/container_registry/ (GitLab)
var knownRealms = map[string]string{
	"registry-1.docker.io": "auth.docker.io",
	"registry.gitlab.com":  "gitlab.com",
}

// Realm checks the address of a token service, as a registry's challenge names
// it, before anything is sent there: it must be on the registry's own host, on
// its known token service, on its registered domain, or on a host that an
// admin allowed; encrypted unless the registry itself is reached by plain http
// on a host where that is allowed; and without a user name in it. The error is
// a Denied fault.
func (r *Route) Realm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, fault.New(fault.Denied, "realm_invalid", "%s names a token service whose address cannot be read: %s", r.api, escape(realm)).
			WithHint("Ask the registry's operator to set the realm of its token service to a full https address.")
	}
	if u.User != nil {
		return nil, fault.New(fault.Denied, "realm_userinfo", "%s names a token service with a user name in its address, which is not followed: %s", r.api, Redact(u))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || r.Scheme() == "https") {
		return nil, fault.New(fault.Denied, "realm_insecure", "%s is reached by https but names a token service that is not, so the credential was not sent: %s", r.api, Redact(u)).
			WithHint("Ask the registry's operator to set the realm of its token service to an https address.")
	}
	if !r.isRealmHost(u) {
		return nil, fault.New(fault.Denied, "realm_foreign", "%s names a token service on a foreign host, %s, so the credential was not sent", r.api, escape(u.Host)).
			WithHint("If that host really is the registry's token service, an admin of this Fairlead can allow it for %s.", r.api)
	}
	if err := r.mayBeScheme(u); err != nil {
		return nil, err
	}
	u.Fragment = ""
	return u, nil
}

// isRealmHost is the rule on hosts alone.
func (r *Route) isRealmHost(u *url.URL) bool {
	host := canonical(u.Host)
	switch {
	case hostname(host) == hostname(r.api), knownRealms[r.api] == host, slices.Contains(r.transport.realmHosts[r.api], host):
		return true
	case reachOfName(hostname(host)) != public || reachOfName(hostname(r.api)) != public:
		return false // addresses have no domain to share
	}
	theirs, err := publicsuffix.EffectiveTLDPlusOne(hostname(host))
	if err != nil {
		return false
	}
	ours, err := publicsuffix.EffectiveTLDPlusOne(hostname(r.api))
	return err == nil && theirs == ours
}
