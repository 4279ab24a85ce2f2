package cache

import (
	"cmp"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

// limitKey is whose limit at which registry.
type limitKey struct{ credential, host string }

// Quota is what a registry still gives to a credential.
type Quota struct {
	Host       string
	Credential string // its name; "" for pulls as anybody
	Limit      oci.RateLimit
	At         time.Time // when the registry said so
}

// note keeps what the registry said of its limit.
func (c *Cache) note(q question, client *oci.Client) {
	if limit, told := client.LastLimit(); told {
		k := limitKey{q.access.Credential, q.ref.Host()}
		c.limits.Add(k, Quota{q.ref.Host(), q.access.Name, limit, c.config.Now()})
	}
}

// Quotas are the limits that registries have told, ordered by host and credential.
func (c *Cache) Quotas() []Quota {
	quotas := c.limits.Values()
	slices.SortFunc(quotas, func(a, b Quota) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Credential, b.Credential))
	})
	return quotas
}
