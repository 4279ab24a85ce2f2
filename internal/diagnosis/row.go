package diagnosis

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Row is one line of the table: the answers that it is for, and what is made of
// them. Of its conditions all that are given must hold.
type Row struct {
	Services []Service // who answers; empty: anybody

	Statuses  []int          // one of them
	Least     int            // the status at least
	Below     int            // the status below
	Codes     []string       // one of them, as the service spells it
	Challenge string         // the error of a challenge
	Says      *regexp.Regexp // in the service's own words
	Page      *bool          // whether the answer is a web page

	Kind     fault.Kind
	Code     string
	Sentence string // with {image}, {host}, {user}, {status}, and what Says names
	Hint     string
}

// Rows is the whole table, in the order in which it is read: the first row that
// fits is the diagnosis. A service's own rows come before what is the same
// everywhere.
func Rows() []Row {
	return slices.Concat(cacheRows, awsRows, googleRows, azureRows, hubRows, jfrogRows, tokenRows, cloudRows, registryRows)
}

// table is Rows, put together once.
var table = Rows()

// family is what a service's answers are like where it has no row of its own.
func (s Service) family() Service {
	switch s {
	case DockerHubToken, JFrogToken, ArtifactRegistryToken, ACRToken:
		return TokenService
	case AWS, Google, Entra:
		return cloud
	case DockerHub, JFrog, ECR, ArtifactRegistry, ACR:
		return Registry
	default:
		return s
	}
}

// cloud is every API of a cloud.
const cloud Service = "cloud"

func (r Row) fits(e *oci.Error, s Service) bool {
	switch {
	case len(r.Services) > 0 && !slices.Contains(r.Services, s) && !slices.Contains(r.Services, s.family()),
		len(r.Statuses) > 0 && !slices.Contains(r.Statuses, e.Status),
		r.Least > 0 && e.Status < r.Least,
		r.Below > 0 && e.Status >= r.Below,
		len(r.Codes) > 0 && !slices.ContainsFunc(r.Codes, e.Has),
		r.Challenge != "" && !slices.ContainsFunc(e.Challenges, func(c oci.Challenge) bool { return c.Error == r.Challenge }),
		r.Says != nil && !r.Says.MatchString(e.Message),
		r.Page != nil && *r.Page != e.HTML:
		return false
	}
	return true
}

// RowOf is the place in Rows of the row that an answer is told by.
func RowOf(e *oci.Error, s Service) int {
	return slices.IndexFunc(table, func(row Row) bool { return row.fits(e, s) })
}

// page is for Row.Page.
func page(is bool) *bool { return &is }

// fault fills in the sentence.
func (r Row) fault(e *oci.Error, subject Subject) *fault.Error {
	pairs := []string{
		"{image}", nameOf(subject.Image), "{host}", e.Host, "{status}", strconv.Itoa(e.Status), "{user}", userOf(subject.User),
	}
	if r.Says != nil {
		found := r.Says.FindStringSubmatch(e.Message)
		for i, name := range r.Says.SubexpNames() {
			if name != "" {
				pairs = append(pairs, "{"+name+"}", found[i])
			}
		}
	}
	words := strings.NewReplacer(pairs...)
	f := &fault.Error{Kind: r.Kind, Code: r.Code, Message: words.Replace(r.Sentence) + e.Said(), Hint: words.Replace(r.Hint), RetryAfter: e.RetryAfter}
	if e.RateLimit != nil && (r.Kind == fault.Exhausted || e.Status == http.StatusTooManyRequests) {
		f.Message += " (" + e.RateLimit.String() + ")"
		f.RetryAfter = max(f.RetryAfter, e.RateLimit.Reset)
	}
	return f
}

// nameOf is an image for a sentence, which a check may be without.
func nameOf(ref image.Reference) string {
	if ref.IsZero() {
		return "an image there"
	}
	return ref.String()
}

func userOf(user string) string {
	if user == "" {
		return "who asks"
	}
	return strconv.Quote(user)
}

// Next steps that several rows share. Names stand in capitals for a credential's.
const (
	hintNewSecret = "Make a new one at the registry and give it with `fairlead registry rotate NAME`."
	hintClock     = "Set this machine's clock right, with a time service such as chrony, and try again."
)
