package registry_test

import (
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

// mayRenew lets an IAM user pull, and make and delete its own access keys.
const mayRenew = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage",
	"ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability","sts:GetFederationToken",
	"iam:CreateAccessKey","iam:DeleteAccessKey","iam:ListAccessKeys"],"Resource":"*"}]}`

// renewed is a safe before AWS, with one access key in it.
type renewed struct {
	*checked
	aws *granttest.AWS
	id  string // of the credential
	key string // the ID of the access key that it began with
}

func newRenewed(t *testing.T) *renewed {
	t.Helper()
	r := &renewed{checked: &checked{safe: newSafe(t)}, aws: granttest.NewAWS(t, granttest.AWSOptions{})}
	r.registry = r.aws.Registry
	_, err := r.registry.Push(t.Context(), "ml/train", "v1", empty.Image)
	r.must(err)
	id, key := r.aws.AddIAMUser("fairlead", mayRenew)
	r.key = id
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, r.registry), Now: r.now})
	r.Service = registry.NewService(r.store, account.NewService(r.store, r.now), adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: r.vault}, r.now)
	made, _, err := r.Create(t.Context(), r.admin, registry.Draft{
		Organization: "acme", Name: "ecr", Kind: "aws-ecr", Patterns: []string{r.aws.Host() + "/ml/train"},
		Material: registry.Material{
			Config: map[string]string{"access_key_id": id}, Secrets: map[string]secret.Text{"secret_access_key": secret.New(key)},
		},
	})
	r.must(err)
	r.id = made.ID
	return r
}

func (r *renewed) rotate(rotation registry.Rotation) error {
	_, _, err := r.Rotate(r.t.Context(), r.admin, r.id, rotation, nil)
	return err
}

// forget lets the time pass in which a replaced secret is held.
func (r *renewed) forget() int {
	r.t.Helper()
	r.ahead += 2 * time.Hour
	forgotten, err := r.ForgetHeld(r.t.Context())
	r.must(err)
	return forgotten
}

func (r *renewed) present() string {
	r.t.Helper()
	return r.get(r.id).Config["access_key_id"]
}

func TestARenewedKeyIsUsedAndTheOldOneIsDeletedAtTheRegistryWhenItIsForgotten(t *testing.T) {
	r := newRenewed(t)
	r.must(r.rotate(registry.Rotation{Renew: true}))
	fresh := r.present()
	if fresh == r.key || !r.aws.HasKey(fresh) || !r.aws.HasKey(r.key) {
		t.Fatal("there are not both keys while the old one is held")
	}
	if n, err := r.ForgetHeld(t.Context()); n != 0 || err != nil {
		t.Errorf("%d forgotten at once, %v", n, err)
	}
	if n := r.forget(); n != 1 || r.aws.HasKey(r.key) || !r.aws.HasKey(fresh) {
		t.Errorf("%d forgotten; the old key is there: %t", n, r.aws.HasKey(r.key))
	}
	if got := r.results(audit.CredentialForget); len(got) != 1 {
		t.Errorf("the trail knows of %d", len(got))
	}
	r.must(r.rotate(registry.Rotation{Renew: true})) // there is room for two keys again
}

func TestARenewedKeyThatIsTakenBackIsDeletedAndTheFirstOneStays(t *testing.T) {
	r := newRenewed(t)
	r.must(r.rotate(registry.Rotation{Renew: true}))
	fresh := r.present()
	r.must(r.rotate(registry.Rotation{Back: true}))
	if r.present() != r.key {
		t.Fatal("the first key is not back")
	}
	if n := r.forget(); n != 2 || !r.aws.HasKey(r.key) || r.aws.HasKey(fresh) {
		t.Errorf("%d forgotten; the first key is there: %t, the renewed one: %t", n, r.aws.HasKey(r.key), r.aws.HasKey(fresh))
	}
}

func TestAKeyThatTheRegistryDoesNotDeleteYetIsHeldAndTriedAgain(t *testing.T) {
	r := newRenewed(t)
	r.must(r.rotate(registry.Rotation{Renew: true}))
	r.aws.SetPolicies("fairlead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`)
	r.ahead = 2 * time.Hour
	if n, err := r.ForgetHeld(t.Context()); n != 0 || !fault.Is(err, fault.Denied) {
		t.Errorf("%d forgotten, %v", n, err)
	}
	r.aws.SetPolicies("fairlead", mayRenew)
	if n := r.forget(); n != 1 || r.aws.HasKey(r.key) {
		t.Errorf("%d forgotten when it may", n)
	}
}

func TestANewKeyThatCannotPullIsDeletedAgainAndNothingChanges(t *testing.T) {
	r := newRenewed(t)
	before := r.get(r.id)
	// It may make keys, and do nothing at the registry any more.
	r.aws.SetPolicies("fairlead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","sts:GetFederationToken"],"Resource":"*"}]}`)
	err := r.rotate(registry.Rotation{Renew: true})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("%v, want a refusal", err)
	}
	if after := r.get(r.id); after.Version != before.Version || r.present() != r.key {
		t.Error("something changed")
	}
	if n := r.aws.Calls("DeleteAccessKey"); n != 1 {
		t.Errorf("%d keys were deleted, want the one that was made", n)
	}
	if !r.aws.HasKey(r.key) {
		t.Error("the wrong one was deleted")
	}
}
