package grant

import (
	"context"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// newKeyMost is how long a new access key is waited for: IAM tells the regions
// of it within seconds.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
const (
	newKeyMost  = 30 * time.Second
	newKeyAgain = time.Second
)

// Renew has IAM make a second access key of the same user.
func (e awsECR) Renew(ctx context.Context, material Material) (Material, error) {
	a, err := e.identity(ctx, material)
	if err != nil {
		return Material{}, err
	}
	user := material.Config[fieldAccessKeyID]
	answer, err := a.iam().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{})
	if err != nil {
		return Material{}, a.fault(err, image.Reference{}, user)
	}
	id, key := aws.ToString(answer.AccessKey.AccessKeyId), secret.New(aws.ToString(answer.AccessKey.SecretAccessKey))
	fresh := Material{Config: maps.Clone(material.Config), Secrets: maps.Clone(material.Secrets)}
	fresh.Config[fieldAccessKeyID], fresh.Secrets[fieldSecretAccessKey] = id, key
	ctx, cancel := context.WithTimeout(ctx, newKeyMost)
	defer cancel()
	as := a.with(credentials.NewStaticCredentialsProvider(id, key.Reveal(), ""), key)
	for {
		_, err := as.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if !isAWSCode(err, "InvalidClientTokenId", "UnrecognizedClient") {
			return fresh, nil // known, or to be told by the check
		}
		select {
		case <-ctx.Done():
			return fresh, nil
		case <-time.After(newKeyAgain):
		}
	}
}

// Retire has IAM delete the old access key, unless that is the fresh one too.
func (e awsECR) Retire(ctx context.Context, old, fresh Material) error {
	if old.Config[fieldAccessKeyID] == fresh.Config[fieldAccessKeyID] {
		return nil // the same key, whose secret was entered again
	}
	a, err := e.identity(ctx, fresh)
	if err != nil {
		return err
	}
	id := old.Config[fieldAccessKeyID]
	_, err = a.iam().DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: &id})
	if err == nil || isAWSCode(err, "NoSuchEntity") {
		return nil
	}
	return a.fault(err, image.Reference{}, fresh.Config[fieldAccessKeyID])
}

// identity is the way to IAM and STS, which do not go by the registry's region
// where the credential does not say one.
func (e awsECR) identity(ctx context.Context, m Material) (*amazon, error) {
	region := m.Config[fieldRegion]
	if region == "" {
		region = ecrPublicRegion
	}
	return e.way(ctx, m, ecrHost{region: region})
}
