package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// stages are how long before its end a credential is told of; the last is the
// end itself.
var stages = []time.Duration{14 * 24 * time.Hour, 3 * 24 * time.Hour, 24 * time.Hour, 0}

// stageOf is how many stages are reached; 0: none.
func stageOf(left time.Duration) int {
	reached := 0
	for _, stage := range stages {
		if left <= stage {
			reached++
		}
	}
	return reached
}

// Expire tells of credentials that end soon, or have ended: each stage once. It
// looks at those of organisations that want to know.
func (o *Outbox) Expire(ctx context.Context) error {
	channels, err := o.config.Store.AllChannels(ctx)
	if err != nil {
		return err
	}
	wanting := make(map[int64][]notice.Channel)
	for _, channel := range channels {
		if channel.Wants(notice.CredentialExpires) {
			wanting[channel.OrganizationID] = append(wanting[channel.OrganizationID], channel)
		}
	}
	var errs []error
	for organizationID, channels := range wanting {
		credentials, err := o.config.Store.Credentials(ctx, organizationID)
		errs = append(errs, err)
		for _, credential := range credentials {
			errs = append(errs, o.expire(ctx, credential, channels))
		}
	}
	return errors.Join(errs...)
}

func (o *Outbox) expire(ctx context.Context, credential registry.Credential, channels []notice.Channel) error {
	ends, now := credential.Ends(), o.config.Now()
	if ends.IsZero() {
		return nil
	}
	stage := stageOf(ends.Sub(now))
	if stage == 0 {
		return nil
	}
	key, at := "expiry/"+credential.ID, strconv.FormatInt(ends.Unix(), 10)
	was, err := o.config.Store.Told(ctx, key)
	if err != nil {
		return err
	}
	if end, told, _ := strings.Cut(was, "/"); end == at {
		if reached, err := strconv.Atoi(told); err == nil && reached >= stage {
			return nil
		}
	}
	organization, err := o.config.Store.OrganizationByID(ctx, credential.OrganizationID)
	if err != nil {
		return err
	}
	value := fmt.Sprintf("%s/%d", at, stage)
	settlement := notice.Settlement{Told: map[string]string{key: value}, At: now}
	told := ending(now, credential, organization)
	for _, channel := range channels {
		if err := o.address(ctx, &settlement, key+"/"+value, channel, told); err != nil {
			return err
		}
	}
	return passed(o.config.Store.Settle(ctx, settlement)) // a digest may have left just now
}

// inDays is a time ahead for people.
func inDays(left time.Duration) string {
	days := int((left + 12*time.Hour) / (24 * time.Hour))
	switch {
	case left < 24*time.Hour:
		hours := max(1, int(left/time.Hour))
		return plural(hours, "hour")
	default:
		return plural(max(1, days), "day")
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// some are the first few of a list, and how many more there are.
func some(texts []string, most int) string {
	if len(texts) <= most {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(slices.Clone(texts[:most]), ", "), len(texts)-most)
}
