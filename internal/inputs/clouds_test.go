package inputs_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fairlead.dev/fairlead/internal/depot/depottest"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/inputs"
)

func TestMain(m *testing.M) { os.Exit(depottest.Main(m)) }

// refused checks that an input was not given, with a sentence that says so and
// shows no secret.
func refused(t *testing.T, cloud *depottest.Cloud, cache *inputs.Cache, source inputs.Source, code string) *fault.Error {
	t.Helper()
	_, _, err := place(t, cache, source)
	if err == nil {
		t.Fatalf("%s was given", source.URL)
	}
	f := fault.From(err)
	if f.Code != code || f.Hint == "" {
		t.Errorf("%s (%s), because of %v; want %s and a hint", f.Sentence(), f.Code, f.Cause, code)
	}
	for _, secret := range append(cloud.Secrets, "an0ther") {
		if strings.Contains(f.Sentence()+"\n"+err.Error(), secret) {
			t.Errorf("it shows %q: %v", secret, err)
		}
	}
	return f
}

func TestAnInputComesFromABucketAndIsFetchedAnewWhenItChanged(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cache := open(t, inputs.Config{})
		cloud.Put("data/train.csv", text)
		source := inputs.Source{URL: cloud.Input("data/train.csv"), SHA256: textSum}
		file, content, err := place(t, cache, source)
		if err != nil || content != text || file != (inputs.File{Name: "train.csv", Size: 10, SHA256: textSum}) {
			t.Fatalf("first: %+v, %q, %v", file, content, err)
		}
		if file, content, err = place(t, cache, source); err != nil || content != text || !file.Cached || len(cloud.Reads()) != 1 {
			t.Errorf("second: %+v, %q, %v, after %d downloads", file, content, err, len(cloud.Reads()))
		}
		cloud.Put("data/train.csv", "9876543210")
		refused(t, cloud, cache, source, "input_checksum")
		source.SHA256 = ""
		if file, content, err = place(t, cache, source); err != nil || content != "9876543210" || file.Cached {
			t.Errorf("changed: %+v, %q, %v", file, content, err)
		}
	})
}

func TestAnInputsNameMayHoldWhatAURLEscapes(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("data/röd å+ =&.csv", text)
		file, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("data/r%C3%B6d%20%C3%A5+%20=&.csv")})
		if err != nil || content != text || file.Name != "röd å+ =&.csv" {
			t.Errorf("%+v, %q, %v", file, content, err)
		}
	})
}

func TestAWrongChecksumGivesNothingFromABucket(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("a/b", text)
		f := refused(t, cloud, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b"), SHA256: strings.Repeat("0", 64)}, "input_checksum")
		if !strings.Contains(f.Message, textSum) {
			t.Error(f.Message)
		}
	})
}

func TestAnInputThatIsNotInTheBucketIsMissing(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cache := open(t, inputs.Config{})
		refused(t, cloud, cache, inputs.Source{URL: cloud.Input("a/b")}, "input_missing")
		cloud.Put("a/b", text)
		f := refused(t, cloud, cache, inputs.Source{URL: strings.NewReplacer("acme-outputs", "acme-missing", "/outputs/", "/missing/").Replace(cloud.Input("a/b"))}, "input_missing")
		if cloud.Name != "Google Cloud Storage" && !strings.Contains(f.Hint, "name") {
			t.Errorf("of a missing bucket it says %s", f.Sentence())
		}
	})
}

func TestARefusedLoginToABucketNamesTheSettingToMend(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("a/b", text)
		cache := open(t, inputs.Config{})
		if _, _, err := place(t, cache, inputs.Source{URL: cloud.Input("a/b")}); err != nil { // now it is here
			t.Fatal(err)
		}
		for setting, spoil := range cloud.Spoil {
			t.Run(setting, func(t *testing.T) {
				spoil(t)
				f := refused(t, cloud, cache, inputs.Source{URL: cloud.Input("a/b")}, "input_login")
				if !strings.Contains(f.Sentence(), setting) || !strings.Contains(f.Sentence(), "the worker") {
					t.Errorf("it names no %s: %s", setting, f.Sentence())
				}
			})
		}
		cloud.Forbid("read")
		f := refused(t, cloud, cache, inputs.Source{URL: cloud.Input("a/b")}, "input_denied")
		need := map[string]string{"S3": "s3:GetObject", "Google Cloud Storage": "roles/storage.objectViewer", "Azure Blob Storage": "Storage Blob Data Reader"}[cloud.Name]
		if !strings.Contains(f.Sentence(), need) {
			t.Errorf("it does not name %s: %s", need, f.Sentence())
		}
	})
}

func TestADownloadFromABucketGoesOnWhereItBroke(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("a/b", text)
		cloud.BreakReads(3, 3)
		file, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b"), SHA256: textSum})
		if err != nil || content != text || file.SHA256 != textSum {
			t.Errorf("%+v, %q, %v", file, content, err)
		}
		if reads := cloud.Reads(); !slices.Equal(reads, []string{"", "bytes=3-", "bytes=6-"}) {
			t.Errorf("it asked for %q", reads)
		}
	})
}

func TestAFileThatChangesInItsBucketMeanwhileIsNoMixture(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("a/b", text)
		cloud.BreakReads(3)
		cloud.OnBreak(func() { cloud.Put("a/b", "abcdefghij") })
		refused(t, cloud, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b")}, "input_changed")
	})
}

func TestABucketThatIsBusyIsAskedAgain(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.Put("a/b", text)
		cloud.Overload(1)
		if _, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b")}); err != nil || content != text {
			t.Errorf("%q, %v", content, err)
		}
	})
}

func TestAFileThatIsKeptPackedComesAsItIsKept(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := writer.Write([]byte(text))
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cloud.PutEncoded("a/b.gz", packed.String(), "gzip")
		cloud.BreakReads(5)
		file, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b.gz")})
		if err != nil || content != packed.String() {
			t.Errorf("%+v, %q, %v", file, content, err)
		}
	})
}

func TestABucketInAnotherRegionIsToldOf(t *testing.T) {
	cloud, cache := depottest.S3(t), open(t, inputs.Config{})
	cloud.Put("a/b", text)
	address, _, _ := strings.Cut(cloud.Input("a/b"), "?")
	for _, query := range []string{"", "?region=us-west-2"} {
		if f := refused(t, cloud, cache, inputs.Source{URL: address + query}, "input_region"); !strings.Contains(f.Hint, "region=REGION") {
			t.Error(f.Hint)
		}
	}
	t.Setenv("AWS_REGION", "eu-north-1")
	if _, content, err := place(t, cache, inputs.Source{URL: address}); err != nil || content != text {
		t.Errorf("with AWS_REGION: %q, %v", content, err)
	}
}

func TestAnInputComesFromAStoreOfOnesOwnThatTheEnvironmentNames(t *testing.T) {
	for setting, start := range map[string]func(*testing.T) *depottest.Cloud{
		"AWS_ENDPOINT_URL_S3": depottest.S3Compatible, "STORAGE_EMULATOR_HOST": depottest.GoogleEmulator, "AZURE_STORAGE_DOMAIN": depottest.AzureEmulator,
	} {
		t.Run(setting, func(t *testing.T) {
			cloud := start(t)
			cloud.Put("a/b", text)
			if _, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: cloud.Input("a/b")}); err != nil || content != text {
				t.Errorf("%q, %v", content, err)
			}
		})
	}
}

func TestAnAddressTakesTheWorkersLoginNowhereElse(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		cache := open(t, inputs.Config{})
		cloud.Put("a/b", text)
		address, separator := cloud.Input("a/b"), "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		for _, query := range []string{
			"endpoint=http://169.254.169.254", "profile=admin", "role=arn:aws:iam::1:role/admin", "domain=blob.evil.example", "protocol=http", "localemu=true",
			"storage_account=other", "private_key_path=/etc/shadow", "access_id=x", "universe_domain=evil.example", "grpc=true", "prefix=b", "cdn=true",
		} {
			refused(t, cloud, cache, inputs.Source{URL: address + separator + query}, "input_url")
		}
		for _, address := range []string{"azure://evil.example/outputs/a/b", "azure://acmestorage:80/outputs/a/b", "s3://acme-outputs/a/b?region=x.evil.example/"} {
			refused(t, cloud, cache, inputs.Source{URL: address}, "input_url")
		}
		if asked := cloud.Asked(); asked > 0 {
			t.Errorf("%d requests were sent", asked)
		}
	})
}

func TestAnotherStorageAccountIsNotTakenForTheWorkersOwn(t *testing.T) {
	for name, login := range map[string]func(*testing.T){"key": func(*testing.T) {}, "signature": depottest.AzureSAS, "connection string": depottest.AzureConnectionString} {
		t.Run(name, func(t *testing.T) {
			cloud := depottest.Azure(t)
			login(t)
			cloud.Put("a/b", text)
			cache := open(t, inputs.Config{})
			if _, content, err := place(t, cache, inputs.Source{URL: cloud.Input("a/b")}); err != nil || content != text {
				t.Errorf("its own: %q, %v", content, err)
			}
			refused(t, cloud, cache, inputs.Source{URL: strings.Replace(cloud.Input("a/b"), "acmestorage", "otherstorage", 1)}, "input_denied")
		})
	}
}

func TestAPublicFileNeedsNoLogin(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *depottest.Cloud{"S3": depottest.S3, "Google Cloud Storage": depottest.Google} {
		t.Run(name, func(t *testing.T) {
			cloud := start(t)
			cloud.Put("a/b", text)
			cloud.Publish()
			for _, setting := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"} {
				t.Setenv(setting, "")
			}
			address, separator := cloud.Input("a/b"), "?"
			if strings.Contains(address, "?") {
				separator = "&"
			}
			if _, content, err := place(t, open(t, inputs.Config{}), inputs.Source{URL: address + separator + "anonymous=true"}); err != nil || content != text {
				t.Errorf("%q, %v", content, err)
			}
		})
	}
}

func TestANetworksErrorShowsNoSignature(t *testing.T) {
	cloud := depottest.Azure(t)
	depottest.AzureSAS(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", "nowhere")
	ctx := policy.WithRetryOptions(t.Context(), policy.RetryOptions{MaxRetries: -1})
	_, err := open(t, inputs.Config{}).Place(ctx, inputs.Source{URL: "azure://nowhere/outputs/a/b"}, func(name string) (string, error) { return name, nil }, nil)
	if fault.From(err).Code != "input_unreachable" || !strings.Contains(err.Error(), "nowhere.blob.core.windows.net/outputs/a%2Fb?…") {
		t.Errorf("it ended with %v", err)
	}
	for _, secret := range cloud.Secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("it shows %q: %v", secret, err)
		}
	}
}
