package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/grant/granttest"
)

// draftForm is a form of a credential that the registry takes.
func draftForm(password string) url.Values {
	return url.Values{
		"name": {"Acme's <registry>"}, "image_patterns": {"registry.acme.example/ml/*\r\nregistry.acme.example/ml/train"},
		"username": {"robot"}, "password": {password}, "expires_at": {"2100-01-31"}, "proxy": {""},
	}
}

func TestAnEmptyListLeadsToTheFirstCredential(t *testing.T) {
	h := newHarbour(t)
	ada := h.guest("ada")
	ada.get(h.acme).wants(http.StatusOK, "acme has no registry credentials yet", "fairlead registry add")
	tiles := ada.get(h.acme+"add/").wants(http.StatusOK, "Docker Hub", "AWS ECR, access key", "Any registry")
	if !strings.Contains(tiles.text, `href="/o/1/registries/add/docker-hub/"`) {
		t.Error("there is no way to the form")
	}
}

func TestTheFormIsMadeOfWhatTheKindNeeds(t *testing.T) {
	h := newHarbour(t)
	ada := h.guest("ada")
	for kind, fields := range map[string][]string{
		"generic": {"username", "password", "basic_on_worker", "proxy", "ca", "pasted"}, "gcp": {"service_account_json", "service_account_email"},
		"aws-ecr": {"access_key_id", "secret_access_key", "role_arn", "pasted"}, "azure": {"tenant_id", "client_certificate", "pasted"},
		"aws-ecr-role": {"region", "role_name"}, "docker-hub": {"access_token"}, "jfrog": {"access_token"},
	} {
		page := ada.get(h.acme + "add/" + kind + "/").wants(http.StatusOK)
		for _, name := range append(fields, "name", "image_patterns", "expires_at", "skip_check") {
			if page.find("."+name) == nil {
				t.Errorf("%s has no field %s", kind, name)
			}
		}
	}
	ada.get(h.acme + "add/no-such-kind/").wants(http.StatusNotFound)
}

func TestACredentialIsSavedWithoutJavaScriptOnceTheRegistryTakesIt(t *testing.T) {
	h := newHarbour(t)
	ada := h.guest("ada")
	refused := ada.post(h.acme+"add/generic/", draftForm("wrong-"+registryPassword[:4]))
	refused.wants(http.StatusUnprocessableEntity, "Nothing is saved: registry.acme.example does not accept user", "enter the secret again")
	if got := refused.words("steps"); !strings.HasPrefix(got, "failed registry.acme.example does not accept") {
		t.Errorf("the steps are %q", got)
	}
	if refused.value("name") != "Acme's <registry>" || refused.value("username") != "robot" || refused.value("expires_at") != "2100-01-31" ||
		refused.value("image_patterns") != "registry.acme.example/ml/* registry.acme.example/ml/train" || refused.value("password") != "" {
		t.Errorf("what was typed is lost, or the secret is not: %s", refused.text)
	}
	ada.get(h.acme).wants(http.StatusOK, "no registry credentials yet")

	saved := ada.post(h.acme+"add/generic/", draftForm(registryPassword)).wants(http.StatusOK, "The credential Acme's <registry> is saved.", "accepts user", "works", "never")
	if !strings.HasPrefix(saved.path, h.acme) || saved.path == h.acme {
		t.Errorf("it leads to %s", saved.path)
	}
	saved.lacks("<registry>").wants(http.StatusOK, "credential.create", "credential.check", "User name robot")
	ada.get(h.acme).wants(http.StatusOK, "Acme's <registry>", "works", "unused", "registry.acme.example/ml/*", "Any registry").lacks("<registry>")
}

func TestTheStepsOfACheckComeOneByOne(t *testing.T) {
	h := newHarbour(t)
	ada := h.guest("ada")
	stream := http.Header{"Accept": {"text/event-stream, text/html"}, "Hx-Request": {"true"}}
	refused := ada.send(http.MethodPost, h.acme+"add/generic/", draftForm("wrong"), stream)
	if refused.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %v", refused.header)
	}
	for _, want := range []string{"event: step\ndata: <li class=\"step\">", "event: parts\ndata: ", "Nothing is saved: ", `id="password-problem"`} {
		if !strings.Contains(refused.text, want) {
			t.Errorf("there is no %s in\n%s", want, refused.text)
		}
	}
	saved := ada.send(http.MethodPost, h.acme+"add/generic/", draftForm(registryPassword), stream)
	if steps := strings.Count(saved.text, "event: step\n"); steps < 3 || !strings.Contains(saved.text, "event: go\ndata: {") || !strings.Contains(saved.text, `"to":"/o/1/registries/`) {
		t.Errorf("got\n%s", saved.text)
	}

	// What is refused before the registry is asked has a status of its own.
	form := draftForm(registryPassword)
	form.Set("image_patterns", "https://ghcr.io/acme")
	form.Set("expires_at", "soon")
	wrong := ada.send(http.MethodPost, h.acme+"add/generic/", form, stream).wants(http.StatusUnprocessableEntity)
	if wrong.words("expires_at-problem") == "" || wrong.words("image_patterns-problem") != "" && wrong.header.Get("Content-Type") == "text/event-stream" {
		t.Errorf("got %s", wrong.text)
	}
	taken := ada.send(http.MethodPost, h.acme+"add/generic/", draftForm(registryPassword), stream)
	if !strings.Contains(taken.text, "event: parts") || !strings.Contains(taken.text, "Acme&#39;s") {
		t.Errorf("the name is taken, and it says\n%s", taken.text)
	}
}

func TestEveryWrongFieldHasItsMessage(t *testing.T) {
	h := newHarbour(t)
	page := h.guest("ada").post(h.acme+"add/generic/", url.Values{"image_patterns": {"https://ghcr.io/acme\n*"}, "proxy": {"nonsense"}}).
		wants(http.StatusUnprocessableEntity)
	for _, field := range []string{"image_patterns", "username", "password", "proxy"} {
		if page.words(field+"-problem") == "" {
			t.Errorf("%s has no message", field)
		}
	}
}

func TestWhatWasPastedFillsWhatIsLeftEmptyAndNeverComesBack(t *testing.T) {
	h := newHarbour(t)
	ada := h.guest("ada")
	refused := ada.post(h.acme+"add/generic/", url.Values{"pasted": {"docker logout " + registryPassword}}).wants(http.StatusUnprocessableEntity)
	if got := refused.words("pasted-problem"); !strings.HasPrefix(got, "this is not a line of `docker login`") || refused.value("pasted") != "" {
		t.Errorf("got %q and %q", got, refused.value("pasted"))
	}
	saved := ada.post(h.acme+"add/generic/", url.Values{"pasted": {"docker login registry.acme.example -u robot -p " + registryPassword}})
	saved.wants(http.StatusOK, "is saved", "registry.acme.example/*", "User name robot", "accepts user")
}

func TestAMemberIsToldWhyThereIsNoListAndAStrangerNothing(t *testing.T) {
	h := newHarbour(t)
	made := h.add("one", "registry.acme.example/ml/*")
	ben, eve := h.guest("ben"), h.guest("eve")
	ben.get(h.acme).wants(http.StatusForbidden, "Registries", "explain an image").lacks("<form class=\"filters\"", "registry.acme.example", "/add/")
	for _, path := range []string{"add/", "add/generic/", made.ID + "/", made.ID + "/change/", made.ID + "/rotate/"} {
		ben.get(h.acme+path).wants(http.StatusForbidden).lacks("<textarea", "registry.acme.example")
		eve.get(h.acme + path).wants(http.StatusNotFound).lacks("registry.acme.example")
	}
	eve.get("/o/2/registries/" + made.ID + "/").wants(http.StatusNotFound).lacks("registry.acme.example")
	for _, path := range []string{"add/generic/", "add/generic/preview/", made.ID + "/check/", made.ID + "/change/", made.ID + "/change/preview/", made.ID + "/rotate/", made.ID + "/delete/"} {
		ben.post(h.acme+path, draftForm("x")).wants(http.StatusForbidden)
		eve.post(h.acme+path, draftForm("x")).wants(http.StatusNotFound)
	}
	if all, err := h.registries.List(t.Context(), h.ada, "acme"); err != nil || len(all) != 1 || all[0].Version != 1 {
		t.Errorf("there are %+v, %v", all, err)
	}
}

func TestAListIsSearchedByNamePatternKindAndStateAndComesInPages(t *testing.T) {
	h := newHarbour(t)
	for i := range 60 {
		h.add("robot "+string(rune('A'+i%26))+string(rune('a'+i/26)), "ghcr.io/acme/"+strings.Repeat("x", i+1)+"/*", "quay.io/a", "quay.io/b", "quay.io/c", "quay.io/d")
	}
	h.add("special", "registry.acme.example/ml/*")
	ada := h.guest("ada")
	first := ada.get(h.acme).wants(http.StatusOK, "61 in all", "1 to 50 of 61", "and 2 more", "Older")
	if strings.Count(first.text, `scope="row"`) != 50 {
		t.Error("a page does not have 50 rows")
	}
	ada.get(h.acme+"?page=2").wants(http.StatusOK, "51 to 61 of 61", "Newer")
	ada.get(h.acme+"?page=99").wants(http.StatusOK, "No credential fits")
	ada.get(h.acme+"?q=SPECIAL").wants(http.StatusOK, "1 of 61", "special").lacks("quay.io")
	ada.get(h.acme+"?q=acme.example").wants(http.StatusOK, "1 of 61")
	ada.get(h.acme+"?q=any+registry").wants(http.StatusOK, "61 in all")
	ada.get(h.acme+"?state=unchecked&page=2").wants(http.StatusOK, "61 in all", "51 to 61 of 61")
	ada.get(h.acme+"?state=bad").wants(http.StatusOK, "No credential fits")
	live := ada.send(http.MethodGet, h.acme+"?q=special", nil, http.Header{"Hx-Request": {"true"}}).wants(http.StatusOK, "1 of 61")
	live.lacks("<nav", "filters")
}

func TestAPreviewSaysWhichOfTheRecentImagesWouldUseThePatterns(t *testing.T) {
	h := newHarbour(t)
	h.add("wide", "ghcr.io/acme/*")
	h.ran("ghcr.io/acme/web:v1", "quay.io/other", "ghcr.io/acme/train:v2", "no image at all")
	ada := h.guest("ada")
	htmx := http.Header{"Hx-Request": {"true"}}
	live := ada.send(http.MethodPost, h.acme+"add/generic/preview/", url.Values{"image_patterns": {"ghcr.io/acme/w*"}}, htmx)
	live.wants(http.StatusOK, "1 would use it", "ghcr.io/acme/web:v1 would use this in place of wide, because the pattern ghcr.io/acme/w* goes before ghcr.io/acme/*",
		"ghcr.io/acme/train:v2 is not covered, and stays with wide", "quay.io/other:latest is not covered").lacks("<nav")
	wrong := ada.send(http.MethodPost, h.acme+"add/generic/preview/", url.Values{"image_patterns": {"https://ghcr.io/acme/w*\nquay.io/*"}}, htmx)
	if wrong.wants(http.StatusOK, "quay.io/other:latest would use this", "a pattern has no scheme. "); wrong.words("image_patterns-problem") == "" {
		t.Error("a wrong pattern has no message")
	}
	policy := ada.send(http.MethodPost, h.acme+"add/aws-ecr/preview/", url.Values{"image_patterns": {"123456789012.dkr.ecr.us-east-1.amazonaws.com/ml/*"}}, htmx)
	policy.wants(http.StatusOK, "The least rights that it needs", "arn:aws:ecr:us-east-1:123456789012:repository/ml/*", "Copy")
	ada.send(http.MethodPost, h.acme+"add/generic/preview/", url.Values{}, htmx).wants(http.StatusOK, "As you type")
}

func TestACredentialIsCheckedChangedRotatedAndDeleted(t *testing.T) {
	h := newHarbour(t)
	made := h.add("one", "registry.acme.example/ml/*")
	h.ran("registry.acme.example/ml/train:v1")
	ada := h.guest("ada")
	h.registry.AddUser("other", registryPassword, granttest.Pull("ml/*"))
	here := h.acme + made.ID + "/"
	ada.get(here).wants(http.StatusOK, "unchecked", "was not asked yet", "registry.acme.example/ml/train:v1 would be pulled without a credential")
	ada.post(here+"check/", url.Values{"image": {"registry.acme.example/ml/train:v1"}}).wants(http.StatusOK, "was checked: it works", "registry.acme.example/ml/train:v1 can be pulled")
	ada.post(here+"check/", url.Values{"image": {"UPPER CASE"}}).wants(http.StatusUnprocessableEntity)

	change := ada.get(here + "change/").wants(http.StatusOK)
	if change.value("name") != "one" || change.value("image_patterns") != "registry.acme.example/ml/*" {
		t.Error("the form is not filled")
	}
	ada.post(here+"change/", url.Values{"name": {""}, "image_patterns": {""}}).wants(http.StatusUnprocessableEntity, "must not be empty", "say at least one pattern")
	ada.post(here+"change/", url.Values{"name": {"two"}, "image_patterns": {"registry.acme.example/ml/train"}, "expires_at": {"2100-01-31"}}).
		wants(http.StatusOK, "The credential two is changed.", "2100-01-31", "credential.update").lacks("ml/*")
	ada.post(here+"change/", url.Values{"name": {"two"}, "image_patterns": {"registry.acme.example/ml/train"}, "expires_at": {"2100-01-31"}, "username": {"ro bot"}, "proxy": {""}}).
		wants(http.StatusUnprocessableEntity, "Nothing is saved: registry.acme.example does not accept user")
	ada.post(here+"change/", url.Values{"name": {"two"}, "image_patterns": {"registry.acme.example/ml/train"}, "expires_at": {""}, "username": {"other"}, "skip_check": {"yes"}}).
		wants(http.StatusOK, "unchecked", "User name other").lacks("2100-01-31")

	ada.post(here+"rotate/", url.Values{"username": {"robot"}}).wants(http.StatusUnprocessableEntity, "give the new secret")
	ada.post(here+"rotate/", url.Values{"username": {"robot"}, "password": {"wrong"}}).
		wants(http.StatusUnprocessableEntity, "The new secret is not used, and nothing has changed", "failed registry.acme.example does not accept")
	ada.post(here+"rotate/", url.Values{"what": {"renew"}}).wants(http.StatusUnprocessableEntity, "cannot make a new secret by itself")
	ada.post(here+"rotate/", url.Values{"username": {"robot"}, "password": {registryPassword}}).wants(http.StatusOK, "has its new secret", "is held until")
	ada.get(here+"rotate/").wants(http.StatusOK, "Go back to the held secret")
	ada.post(here+"rotate/", url.Values{"what": {"back"}}).wants(http.StatusOK, "has its earlier secret again", "credential.rotate")

	ada.post(here+"delete/", url.Values{}).wants(http.StatusOK, "The credential two is deleted.", "no registry credentials yet")
	ada.get(here).wants(http.StatusNotFound)
}

func TestAnExplanationIsAnAddressThatCanBeShared(t *testing.T) {
	h := newHarbour(t)
	made := h.add("wide", "ghcr.io/acme/*")
	h.add("narrow", "ghcr.io/acme/train")
	h.add("almost", "quay.io/acme/train:v1")
	ada, ben, eve := h.guest("ada"), h.guest("ben"), h.guest("eve")
	why := func(image, project string) string {
		return "/explain/?" + url.Values{"image": {image}, "project": {project}}.Encode()
	}
	ada.get("/explain/").wants(http.StatusOK, "Explain", "acme/vision")
	page := ada.get(why("ghcr.io/acme/train:v1", "acme/vision")).wants(http.StatusOK,
		"ghcr.io/acme/train:v1 is pulled with the registry credential narrow (generic), whose pattern ghcr.io/acme/train goes before ghcr.io/acme/* of wide", "used narrow", "behind wide")
	if !strings.Contains(page.text, h.acme+made.ID+"/") {
		t.Error("an admin has no way to the credential")
	}
	ben.get(why("ghcr.io/acme/train:v1", h.vision.ID)).wants(http.StatusOK, "used narrow").lacks(h.acme+made.ID, `href="/o/1/registries/`+made.ID)
	ada.get(why("quay.io/acme/train:v2", h.vision.ID)).wants(http.StatusOK, "Almost", "quay.io/acme/train:v1")
	eve.get(why("ghcr.io/acme/train:v1", "mine")).wants(http.StatusOK, "the project mine is personal", "Make the project in an organisation")
	eve.get(why("ghcr.io/acme/train:v1", h.vision.ID)).lacks("narrow", "vision")
	wrong := ada.get(why("<b>Image", h.vision.ID)).wants(http.StatusUnprocessableEntity).lacks("<b>Image")
	if wrong.words("image-problem") == "" || wrong.value("image") != "<b>Image" {
		t.Error("a wrong image has no message, or is lost")
	}
}

func TestARegistryThatCanMakesANewSecretItself(t *testing.T) {
	aws := granttest.NewAWS(t, granttest.AWSOptions{})
	h := harbourOf(newHouseAt(t, aws.Registry))
	id, key := aws.AddIAMUser("fairlead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage",
		"ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability","sts:GetFederationToken",
		"iam:CreateAccessKey","iam:DeleteAccessKey","iam:ListAccessKeys"],"Resource":"*"}]}`)
	ada := h.guest("ada")
	made := ada.post(h.acme+"add/aws-ecr/", url.Values{
		"name": {"ecr"}, "image_patterns": {aws.Host() + "/ml/train"}, "pasted": {"Access key ID,Secret access key\n" + id + "," + key + "\n"},
	}).wants(http.StatusOK, "The credential ecr is saved.", id).lacks(key)
	ada.get(made.path+"rotate/").wants(http.StatusOK, "Have the registry make one").lacks(key)
	ada.post(made.path+"rotate/", url.Values{"what": {"renew"}}).wants(http.StatusOK, "The credential ecr has a secret that its registry made.", "is held until").lacks(key)

	// A key that is pasted brings its ID along, though the form had the old one's.
	page := ada.get(made.path + "rotate/").wants(http.StatusOK)
	if old := page.value("access_key_id"); old == id || old == "" {
		t.Errorf("the form has %q", old)
	}
	ada.post(made.path+"rotate/", url.Values{"access_key_id": {page.value("access_key_id")}, "pasted": {"AWS_ACCESS_KEY_ID=" + id + "\nAWS_SECRET_ACCESS_KEY=" + key}}).
		wants(http.StatusOK, "has its new secret", id).lacks(key)
}
