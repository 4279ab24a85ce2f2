package granttest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serve answers for the APIs and for the registry.
func (a *AWS) serve(w http.ResponseWriter, request *http.Request) bool {
	switch service, _, _ := strings.Cut(request.Host, "."); {
	case request.Host == ecrPublic:
		return false // whose token service knows whom the API gave a password
	case request.Host == a.options.Host:
		a.serveRegistry(w, request)
	case !slices.Contains(a.hosts(), request.Host):
		return false
	default:
		body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
		if err != nil {
			http.Error(w, "the body cannot be read", http.StatusBadRequest)
			return true
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case strings.HasPrefix(service, "sts"):
			a.serveQuery(w, request, body, "sts")
		case strings.HasPrefix(service, "iam"):
			a.serveQuery(w, request, body, "iam")
		default:
			a.serveECR(w, request, body)
		}
	}
	return true
}

// count counts a call, and reports whether it is throttled, after it has told
// how long to wait.
func (a *AWS) count(w http.ResponseWriter, action string) (throttled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[action]++
	if a.throttle == 0 {
		return false
	}
	a.throttle--
	if a.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.wait/time.Second)))
	}
	return true
}

// accessDenied is what a principal hears who may not do something.
func accessDenied(who awsPrincipal, action, resource string) *awsRefusal {
	why := "no identity-based policy allows the " + action + " action"
	if who.session != nil && who.policy.allows(action, resource) {
		why = "no session policy allows the " + action + " action"
	}
	return &awsRefusal{"AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because %s", who.arn, action, resource, why)}
}

// serveECR is ECR's API: AWS JSON 1.1.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html
func (a *AWS) serveECR(w http.ResponseWriter, request *http.Request, body []byte) {
	_, action, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	service := "ecr"
	if request.Host == ecrPublicAPI {
		service = "ecr-public"
	}
	refuseWith := func(r *awsRefusal) {
		code := r.code
		if !strings.HasSuffix(code, "Exception") {
			code += "Exception"
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": r.message})
	}
	if a.count(w, action) {
		refuseWith(&awsRefusal{"Throttling", "Rate exceeded"})
		return
	}
	key, refusal := a.verify(request, body, service)
	if refusal != nil {
		refuseWith(refusal)
		return
	}
	var input struct {
		RegistryID     string `json:"registryId"`
		RepositoryName string `json:"repositoryName"`
		ImageManifest  string `json:"imageManifest"`
		MaxResults     int    `json:"maxResults"`
		NextToken      string `json:"nextToken"`
		ImageIDs       []struct {
			ImageDigest string `json:"imageDigest"`
			ImageTag    string `json:"imageTag"`
		} `json:"imageIds"`
	}
	if err := json.Unmarshal(body, &input); err != nil {
		refuseWith(&awsRefusal{"SerializationException", "the body is no JSON"})
		return
	}
	resource := "*"
	if action == "DescribeRepositories" {
		resource = a.repositoryARN("*")
	} else if input.RepositoryName != "" {
		resource = a.repositoryARN(input.RepositoryName)
	}
	needs := []string{service + ":" + action}
	if service == "ecr-public" {
		needs = append(needs, "sts:GetServiceBearerToken")
	}
	for _, need := range needs {
		if !key.who.may(need, resource) {
			refuseWith(accessDenied(key.who, need, resource))
			return
		}
	}
	answer, refusal := a.answerECR(action, key, input.RepositoryName, input.ImageManifest, len(input.ImageIDs))
	if refusal != nil {
		refuseWith(refusal)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *AWS) answerECR(action string, key *awsKey, repository, manifest string, images int) (any, *awsRefusal) {
	if repository != "" && !a.hasRepository(repository) {
		return nil, &awsRefusal{"RepositoryNotFound", fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", repository, a.options.Account)}
	}
	switch action {
	case "GetAuthorizationToken":
		a.mu.Lock()
		defer a.mu.Unlock()
		password, expires := a.newToken(key)
		token := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
		a.given = append(a.given, token)
		if a.options.Host == ecrPublic {
			a.AddUser("AWS", password, Pull("*"), Pull("*/*"))
			return map[string]any{"authorizationData": map[string]any{"authorizationToken": token, "expiresAt": float64(expires.UnixMilli()) / 1000}}, nil
		}
		return map[string]any{"authorizationData": []any{map[string]any{
			"authorizationToken": token, "expiresAt": float64(expires.UnixMilli()) / 1000, "proxyEndpoint": "https://" + a.options.Host,
		}}}, nil
	case "DescribeRepositories":
		all := []any{}
		for _, name := range a.repositories() {
			all = append(all, map[string]any{
				"repositoryName": name, "repositoryArn": a.repositoryARN(name), "registryId": a.options.Account,
				"repositoryUri": a.options.Host + "/" + name,
			})
		}
		return map[string]any{"repositories": all}, nil
	case "PutImage":
		if !strings.Contains(manifest, "schemaVersion") {
			return nil, &awsRefusal{"InvalidParameter", "Invalid parameter at 'imageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"}
		}
		return nil, &awsRefusal{"InvalidParameter", "the fake stores no image that comes this way"}
	case "BatchDeleteImage":
		failures := []any{}
		for range images {
			failures = append(failures, map[string]any{"failureCode": "ImageNotFound", "failureReason": "Requested image not found"})
		}
		return map[string]any{"imageIds": []any{}, "failures": failures}, nil
	default:
		return nil, &awsRefusal{"UnknownOperation", "there is no operation " + action}
	}
}

// queryCodes are what the query protocol calls refusals.
var queryCodes = map[string]struct {
	code   string
	status int
}{
	"UnrecognizedClient":         {"InvalidClientTokenId", http.StatusForbidden},
	"InvalidSignature":           {"SignatureDoesNotMatch", http.StatusForbidden},
	"ExpiredToken":               {"ExpiredToken", http.StatusForbidden},
	"AccessDenied":               {"AccessDenied", http.StatusForbidden},
	"IncompleteSignature":        {"IncompleteSignature", http.StatusBadRequest},
	"MissingAuthenticationToken": {"MissingAuthenticationToken", http.StatusForbidden},
	"Throttling":                 {"Throttling", http.StatusBadRequest},
	"NoSuchEntity":               {"NoSuchEntity", http.StatusNotFound},
	"LimitExceeded":              {"LimitExceeded", http.StatusConflict},
}

// serveQuery is STS and IAM: forms in, XML out.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html
func (a *AWS) serveQuery(w http.ResponseWriter, request *http.Request, body []byte, service string) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	action := form.Get("Action")
	refuseWith := func(r *awsRefusal) {
		known, found := queryCodes[r.code]
		if !found {
			known.code, known.status = r.code, http.StatusBadRequest
		}
		var message strings.Builder
		_ = xml.EscapeText(&message, []byte(r.message))
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(known.status)
		_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="%s"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`,
			namespaces[service], known.code, message.String())
	}
	if a.count(w, action) {
		refuseWith(&awsRefusal{"Throttling", "Rate exceeded"})
		return
	}
	var key *awsKey
	if action != "AssumeRoleWithWebIdentity" { // which is signed by nobody
		var refusal *awsRefusal
		if key, refusal = a.verify(request, body, service); refusal != nil {
			refuseWith(refusal)
			return
		}
	}
	result, refusal := a.answerQuery(action, key, form)
	if refusal != nil {
		refuseWith(refusal)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="%[2]s"><%[1]sResult>%[3]s</%[1]sResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></%[1]sResponse>`,
		action, namespaces[service], result)
}

var namespaces = map[string]string{
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}

func (a *AWS) answerQuery(action string, key *awsKey, form url.Values) (string, *awsRefusal) {
	switch action {
	case "GetCallerIdentity":
		return fmt.Sprintf("<Arn>%s</Arn><UserId>AIDA</UserId><Account>%s</Account>", key.who.arn, a.options.Account), nil
	case "GetFederationToken":
		return a.federate(key, form)
	case "AssumeRole":
		return a.assumeRole(key, form)
	case "AssumeRoleWithWebIdentity":
		return a.assumeByWebIdentity(form)
	case "ListAccessKeys", "CreateAccessKey", "DeleteAccessKey":
		return a.manageKeys(action, key, form)
	default:
		return "", &awsRefusal{"InvalidAction", "Could not find operation " + action}
	}
}

// sessionOf reads what limits a session: a policy and a time.
func sessionOf(form url.Values, least, most time.Duration) (narrow *policy, life time.Duration, refusal *awsRefusal) {
	life = time.Hour
	if text := form.Get("DurationSeconds"); text != "" {
		parsed, err := time.ParseDuration(text + "s")
		if err != nil || parsed < least || parsed > most {
			return nil, 0, &awsRefusal{"ValidationError", "durationSeconds is out of bounds"}
		}
		life = parsed
	}
	text := form.Get("Policy")
	if text == "" {
		return nil, life, nil
	}
	const policyMost = 2048
	if len(text) > policyMost {
		return nil, 0, &awsRefusal{"PackedPolicyTooLarge", "the session policy has more than 2048 characters"}
	}
	parsed, err := parsePolicy(text)
	if err != nil {
		return nil, 0, &awsRefusal{"MalformedPolicyDocument", err.Error()}
	}
	return &parsed, life, nil
}

func sessionXML(k *awsKey) string {
	return fmt.Sprintf("<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>",
		k.id, k.secret, k.token, k.expires.UTC().Format(time.RFC3339))
}

func (a *AWS) federate(key *awsKey, form url.Values) (string, *awsRefusal) {
	name := form.Get("Name")
	resource := "arn:" + a.partition() + ":sts::" + a.options.Account + ":federated-user/" + name
	if key.who.user == "" || !key.who.may("sts:GetFederationToken", resource) {
		return "", accessDenied(key.who, "sts:GetFederationToken", resource)
	}
	narrow, life, refusal := sessionOf(form, 15*time.Minute, 36*time.Hour)
	if refusal != nil {
		return "", refusal
	}
	who := awsPrincipal{arn: resource, policy: key.who.policy, session: narrow}
	if narrow == nil {
		who.session = new(policy) // without a policy, such a session may nothing
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return sessionXML(a.newSession(who, life)) + "<FederatedUser><FederatedUserId>1:" + name + "</FederatedUserId><Arn>" + resource + "</Arn></FederatedUser>", nil
}

func (a *AWS) assumeRole(key *awsKey, form url.Values) (string, *awsRefusal) {
	arn := form.Get("RoleArn")
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	a.mu.Lock()
	role := a.roles[name]
	a.mu.Unlock()
	trusted := role != nil && arn == a.roleARN(name) && role.externalID == form.Get("ExternalId") &&
		(slices.Contains(role.trusts, "*") && key.who.may("sts:AssumeRole", arn) || slices.Contains(role.trusts, key.who.arn))
	if !trusted {
		return "", accessDenied(key.who, "sts:AssumeRole", arn)
	}
	narrow, life, refusal := sessionOf(form, 15*time.Minute, 12*time.Hour)
	if refusal != nil {
		return "", refusal
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.rolePrincipal(role, form.Get("RoleSessionName"))
	who.session = narrow
	return sessionXML(a.newSession(who, life)) + "<AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId><Arn>" + who.arn + "</Arn></AssumedRoleUser>", nil
}

func (a *AWS) rolePrincipal(role *awsRole, session string) awsPrincipal {
	return awsPrincipal{
		arn:    "arn:" + a.partition() + ":sts::" + a.options.Account + ":assumed-role/" + role.name + "/" + session,
		policy: role.policy,
	}
}

func (a *AWS) assumeByWebIdentity(form url.Values) (string, *awsRefusal) {
	arn := form.Get("RoleArn")
	a.mu.Lock()
	defer a.mu.Unlock()
	name := a.web[form.Get("WebIdentityToken")]
	role := a.roles[name]
	if role == nil || arn != a.roleARN(name) {
		return "", &awsRefusal{"AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	who := a.rolePrincipal(role, form.Get("RoleSessionName"))
	return sessionXML(a.newSession(who, time.Hour)), nil
}

// manageKeys is what IAM lets a user do with keys of their own.
func (a *AWS) manageKeys(action string, key *awsKey, form url.Values) (string, *awsRefusal) {
	if key.who.user == "" || !key.who.may("iam:"+action, key.who.arn) {
		return "", accessDenied(key.who, "iam:"+action, key.who.arn)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var own []*awsKey
	for _, k := range a.keys {
		if k.who.user == key.who.user && k.token == "" {
			own = append(own, k)
		}
	}
	switch action {
	case "ListAccessKeys":
		var members strings.Builder
		for _, k := range own {
			_, _ = fmt.Fprintf(&members, "<member><UserName>%s</UserName><AccessKeyId>%s</AccessKeyId><Status>Active</Status><CreateDate>%s</CreateDate></member>",
				k.who.user, k.id, k.created.UTC().Format(time.RFC3339))
		}
		return "<IsTruncated>false</IsTruncated><AccessKeyMetadata>" + members.String() + "</AccessKeyMetadata>", nil
	case "CreateAccessKey":
		const keysMost = 2 // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
		if len(own) >= keysMost {
			return "", &awsRefusal{"LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"}
		}
		k := a.newKey("AKIA", key.who)
		return fmt.Sprintf("<AccessKey><UserName>%s</UserName><AccessKeyId>%s</AccessKeyId><Status>Active</Status><SecretAccessKey>%s</SecretAccessKey></AccessKey>",
			k.who.user, k.id, k.secret), nil
	default:
		id := form.Get("AccessKeyId")
		if !slices.ContainsFunc(own, func(k *awsKey) bool { return k.id == id }) {
			return "", &awsRefusal{"NoSuchEntity", "The Access Key with id " + id + " cannot be found."}
		}
		delete(a.keys, id)
		return "", nil
	}
}
