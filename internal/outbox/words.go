package outbox

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// Pages of the server.
func credentialPath(organization account.Organization, id string) string {
	return "/o/" + url.PathEscape(organization.Name) + "/registries/" + url.PathEscape(id) + "/"
}

func executionPath(id string) string { return "/executions/" + url.PathEscape(id) + "/" }

func ofCredential(event notice.Event, at time.Time, c registry.Credential, organization account.Organization) notice.Notice {
	return notice.Notice{
		Event: event, At: at, Organization: organization.Name, Path: credentialPath(organization, c.ID),
		Details: map[string]string{"credential": c.ID, "name": c.Name, "kind": c.Kind},
	}
}

const patternsShown = 5

// serves is which images a credential is for.
func serves(c registry.Credential) string {
	patterns := make([]string, len(c.Patterns))
	for i, pattern := range c.Patterns {
		patterns[i] = pattern.String()
	}
	return "It serves " + some(patterns, patternsShown) + "."
}

func failing(h notice.Happening, c registry.Credential, organization account.Organization) notice.Notice {
	n := ofCredential(notice.CredentialFails, h.At, c, organization)
	n.Title = fmt.Sprintf("The registry credential %s fails its check", c.Name)
	for _, line := range []string{h.Details[notice.DetailSentence], h.Details[notice.DetailHint], serves(c)} {
		if line != "" {
			n.Lines = append(n.Lines, line)
		}
	}
	n.Details["code"] = h.Details[notice.DetailCode]
	return n
}

func works(h notice.Happening, c registry.Credential, organization account.Organization) notice.Notice {
	n := ofCredential(notice.CredentialWorks, h.At, c, organization)
	n.Title = fmt.Sprintf("The registry credential %s works again", c.Name)
	n.Lines = []string{serves(c)}
	return n
}

func ending(now time.Time, c registry.Credential, organization account.Organization) notice.Notice {
	n := ofCredential(notice.CredentialExpires, now, c, organization)
	ends := c.Ends().UTC()
	n.Details["expires_at"] = ends.Format(time.RFC3339)
	left := ends.Sub(now)
	when := fmt.Sprintf("Its secret ends on %s.", ends.Format("2006-01-02 at 15:04 UTC"))
	if left > 0 {
		n.Title = fmt.Sprintf("The registry credential %s expires in %s", c.Name, inDays(left))
	} else {
		n.Title = fmt.Sprintf("The registry credential %s has expired", c.Name)
		when = fmt.Sprintf("Its secret ended on %s.", ends.Format("2006-01-02 at 15:04 UTC"))
	}
	n.Lines = []string{
		when, serves(c),
		fmt.Sprintf("Make a new secret at the registry and put it in the old one's place: `fairlead registry rotate %s`.", c.ID),
	}
	return n
}

func over(e execution.Execution, project account.Project) notice.Notice {
	n := notice.Notice{
		Event: notice.ExecutionEnds, At: e.EndedAt, Path: executionPath(e.ID),
		Title: fmt.Sprintf("Execution #%d of %s/%s: %s", e.Counter, project.Owner.Name, project.Name, e.Status),
		Details: map[string]string{
			"execution": e.ID, "counter": strconv.Itoa(e.Counter), "project": project.ID, "project_name": project.Owner.Name + "/" + project.Name,
			"status": string(e.Status), "step": e.Work.Step, "image": e.Work.Image, "started_by": e.CreatedByName,
		},
	}
	if !project.IsPersonal() {
		n.Organization = project.Owner.Name
	}
	if e.Result.Message != "" {
		n.Lines = append(n.Lines, e.Result.Message)
	}
	if e.Result.Code != "" {
		n.Details["code"] = e.Result.Code
	}
	if e.Result.ExitCode != nil {
		n.Details["exit_code"] = strconv.Itoa(*e.Result.ExitCode)
	}
	n.Lines = append(n.Lines, fmt.Sprintf("The step %s was started by %s with the image %s.", e.Work.Step, e.CreatedByName, e.Work.Image))
	return n
}

const executionsShown = 5

func gone(h notice.Happening, executions []string) notice.Notice {
	worker := h.Details[notice.DetailWorker]
	n := notice.Notice{
		Event: notice.WorkerLost, At: h.At, Title: fmt.Sprintf("The worker %s was lost", worker),
		Lines: []string{
			fmt.Sprintf("It was not heard of while it ran %s: %s.", plural(len(executions), "execution"), some(executions, executionsShown)),
			"Other workers take over what it ran. See whether its machine and its network are up, and its log.",
		},
		Details: map[string]string{"worker": h.ObjectID, "name": worker, "executions": strconv.Itoa(len(executions))},
	}
	if len(executions) == 1 {
		n.Details["execution"] = executions[0]
	}
	return n
}

// trial is what a channel is tried with.
func trial(now time.Time, channel notice.Channel, organization, by string) notice.Notice {
	return notice.Notice{
		Event: notice.Test, At: now, Organization: organization, Title: fmt.Sprintf("A test of the notice channel %s", channel.Name),
		Lines:   []string{fmt.Sprintf("%s had it sent. Nothing happened, and nothing is to be done.", by)},
		Details: map[string]string{"channel": channel.ID},
	}
}
