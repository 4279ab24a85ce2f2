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
	Host         string
	Organization string // whose credential it is; "" for pulls as anybody
	Credential   string // its name; "" for pulls as anybody
	Limit        oci.RateLimit
	At           time.Time // when the registry said so
}

// note keeps what the registry said of its limit.
func (c *Cache) note(q question, client *oci.Client) {
	if limit, limited := client.LastLimit(); limited {
		k := limitKey{q.access.Credential, q.ref.Host()}
		told := Quota{Host: q.ref.Host(), Limit: limit, At: c.config.Now()}
		if q.access.Credential != "" {
			told.Organization, told.Credential = q.reader.organization(), q.access.Name
		}
		c.limits.Add(k, told)
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
