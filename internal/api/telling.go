package api

import (
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/fault"
)

// telling is what the OpenAPI document says of an operation beside its summary.
type telling struct {
	who   asker
	what  string // one or more sentences
	codes string // of errors that neither who asks nor the path leads to
}

// asker is who may call an operation, and what others are refused with.
type asker struct {
	may   string
	codes string
}

// Who may call what. The services decide; this says what they do.
var (
	anybody = asker{"Anybody, without a token.", ""}
	invited = asker{"Whoever has the invitation's text, without a token.", ""}
	waiting = asker{"The machine that asked, with its device code and without a token.", ""}
	linked  = asker{"Whoever has a link that was signed by this server and still holds, without a token.", "link_expired"}

	everyUser   = asker{"Every user.", "not_user"}
	everyToken  = asker{"Whoever has a token; everybody gets what is theirs.", ""}
	membership  = asker{"Members of the organisation, whatever their role.", ""}
	seers       = asker{"Whoever may see the project: the members of the organisation that owns it, or the user whose personal project it is.", "project_unknown"}
	admins      = asker{"Admins of the organisation. A member is refused; to anybody else it is as if it were not there.", "not_admin"}
	operators   = asker{"Operators of this installation.", "not_operator"}
	overseers   = asker{"Admins of an organisation, for what is their organisation's, and operators, for what is the installation's.", "not_admin"}
	selfOrAbove = asker{"The user themselves, and operators.", "not_operator"}

	workers = asker{"Workers, with a token made for a worker.", "not_worker"}
	holders = asker{"The worker that holds the lease, as long as it has not lapsed. To any other it is as if the lease were not there.", "not_worker lease_lost"}
	caches  = asker{"Pull-through caches, with a token made for a cache.", "not_cache"}
)

// tellings are the operations by their ids. A route that is not here fails
// TestEveryOperationAndFieldSaysWhatItIs, which says what to add.
var tellings = map[string]telling{
	"get-server":     {anybody, "Tells the name and the version of the program that answers.", ""},
	"post-get-token": {anybody, "Takes a username, a password and, of who has a second factor, a code, and makes a token that acts as that user and lasts for 90 days. Its text is in this answer alone.", "sign_in_refused code_required code_refused sign_in_throttled password_sign_in_off"},

	"get-users-me":                 {everyUser, "The user that the token belongs to.", ""},
	"post-users":                   {operators, "Makes a user with a password. The user belongs to no organisation until an admin gives them a role there.", "user_taken"},
	"post-users-username-password": {selfOrAbove, "Sets the password that the user signs in with. Tokens that were made before stay good; sessions in browsers end with one's own password, and with another user's where that is asked for.", "user_unknown"},

	"get-users-username-identities":    {selfOrAbove, "What the user signs in with at a provider, the oldest first.", "user_unknown"},
	"post-users-username-identities":   {operators, "Has a subject of a provider be this user from its next sign-in on. The provider is not asked whether there is one.", "user_unknown identity_taken"},
	"delete-users-username-identities": {selfOrAbove, "Takes an identity from the user, and ends the sessions that it began. The user stays; who comes with the identity again is a new user.", "user_unknown identity_unknown"},

	"get-sessions":               {everyUser, "Browsers that the caller is signed in with, the last used first.", ""},
	"delete-sessions":            {everyUser, "Signs the caller out of all browsers, from the next request on. Tokens stay good.", ""},
	"delete-sessions-session":    {everyUser, "Signs the caller out of one browser, from the next request on.", ""},
	"get-totp":                   {everyUser, "Whether signing in takes a code beside the password, and how many recovery codes are left.", ""},
	"post-totp":                  {everyUser, "Makes the key that an app makes codes of (RFC 6238). It is in this answer alone, is not asked for before it was confirmed, and is to be confirmed within an hour; asking again makes another one.", "totp_on totp_unavailable"},
	"post-totp-confirm":          {everyUser, "Turns the second factor on, with a code of the new key. The recovery codes are in this answer alone; each stands in for a code once.", "totp_on totp_not_begun"},
	"post-totp-disable":          {everyUser, "Turns the second factor off. It takes the password and a code; who guesses has to wait, as at a sign-in.", "totp_off sign_in_throttled"},
	"delete-users-username-totp": {operators, "Turns off the second factor of a user who has neither the phone nor a recovery code. Nobody does this for themselves.", "user_unknown totp_own totp_off"},

	"get-organizations-organization-invitations":               {admins, "Invitations that are still good, the newest first, without their texts.", ""},
	"post-organizations-organization-invitations":              {admins, "Makes an invitation that is good once, for as long as who made it is an admin there. Its text is in this answer alone, and in the mail where there is an address and a mail server; a mail that cannot be sent is told, and the invitation is made all the same.", "invitations_many"},
	"delete-organizations-organization-invitations-invitation": {admins, "Revokes an invitation; its text is good no more.", ""},
	"post-invitations-show":                                    {invited, "Which organisation an invitation is to, in which role, and until when. A text that is none, and one that was used or revoked or has expired, look the same.", "invitation_unknown"},
	"post-invitations-accept":                                  {invited, "Makes a user, who is no operator, and makes them a member; the invitation is used up. It stays good where the name is taken.", "invitation_unknown user_taken"},
	"post-invitations-join":                                    {everyUser, "Makes the caller a member; the invitation is used up. It stays good where the caller is a member already.", "invitation_unknown member_already"},

	"post-device-logins":         {anybody, "Begins to sign a machine in (RFC 8628): it shows the user code to its person, and asks with the device code for a token. Both are good for ten minutes.", "device_requests_many"},
	"post-device-logins-token":   {waiting, "Gives the machine its token once somebody has approved, which acts as that user and lasts for 90 days. Its text is in this answer alone. Until then the codes are those of RFC 8628; expired_token stands for an unknown code too.", "authorization_pending slow_down access_denied expired_token"},
	"post-device-logins-show":    {everyUser, "Which machine waits with a user code, and which address it asked from, to decide on. Who types many codes that are wrong has to wait.", "user_code_unknown user_code_guesses"},
	"post-device-logins-approve": {everyUser, "Gives the machine that shows the code a token that acts as the caller, the next time it asks.", "user_code_unknown user_code_guesses"},
	"post-device-logins-deny":    {everyUser, "Refuses the machine that shows the code; it gets no token.", "user_code_unknown user_code_guesses"},

	"get-organizations":                                  {everyToken, "The organisations that the caller belongs to, each with their role.", ""},
	"post-organizations":                                 {operators, "Makes an organisation, with the caller as its first admin.", "organization_taken"},
	"get-organizations-organization-members":             {membership, "The users of an organisation and their roles.", ""},
	"post-organizations-organization-members":            {admins, "Makes a user a member, or changes their role. An organisation cannot lose its last admin.", "last_admin"},
	"delete-organizations-organization-members-username": {admins, "Takes a user out of the organisation: what it owns is no longer seen by them from then on. An organisation cannot lose its last admin.", "last_admin"},
	"get-projects":                                       {everyToken, "The projects of the caller's organisations, and their personal ones.", ""},
	"post-projects":                                      {everyUser, "Makes a project: a personal one, or one of an organisation that the caller is a member of.", "organization_unknown project_taken"},
	"get-projects-ownership-options":                     {everyToken, "What may be sent as the owner of a new project: the caller's own name, and their organisations.", ""},
	"get-projects-project":                               {seers, "A project with its settings, its variables without the values of secret ones, and how many executions it has in which status.", ""},
	"patch-projects-project":                             {seers, "Changes what the request names of the project's settings, and leaves the rest.", ""},
	"post-projects-project-environment-variable":         {seers, "Sets a variable that every later execution of the project gets. A secret one is sealed, and its value is never shown again.", "variables_many"},
	"delete-projects-project-environment-variable":       {seers, "Takes a variable away from later executions.", "variable_unknown"},
	"get-projects-project-repository":                    {seers, "Which git repository the project's code comes from, without what logs in there.", "repository_none"},
	"put-projects-project-repository":                    {seers, "Links the project to a git repository in place of the one before. The login is sealed; the host is not asked before a fetch.", ""},
	"delete-projects-project-repository":                 {seers, "Takes the link and its login away. Commits that were fetched stay.", "repository_none"},
	"post-projects-project-fetch":                        {seers, "Fetches what is new in the linked repository, and tells the commits that came.", "repository_none"},
	"get-projects-project-commits":                       {seers, "The states of the code that the project has, the newest first.", ""},
	"post-projects-project-import-package":               {seers, "Keeps a gzipped tar as a commit, whose identifier is a tilde and the SHA-256 of the bytes. One that is there already is answered as it is.", "source_too_large source_unsafe source_corrupt"},
	"get-commits":                                        {seers, "The states of the code that a project has, the newest first: those that were uploaded, those of the repository, or both.", ""},
	"get-commits-identifier":                             {seers, "One state of a project's code, with the parsed valohai.yaml where `include=config` asks for it.", ""},
	"get-environments":                                   {everyToken, "Groups of workers: for a user those that a project of theirs may use, for an operator all.", ""},
	"post-environments":                                  {operators, "Makes a group of workers. Workers join it by a token that is made for it.", "environment_taken"},
	"get-environments-environment":                       {everyToken, "A group of workers that a project of the caller may use; for an operator any.", ""},
	"patch-environments-environment":                     {operators, "Changes what the request names: its name, its limits, the projects that may use it, and whether it takes executions.", ""},
	"delete-environments-environment":                    {operators, "Removes a group of workers. The default one stays.", "environment_default environment_used"},
	"get-executions":                                     {everyToken, "Runs of steps, the newest first: of one project, or of all that the caller may see.", "project_unknown"},
	"post-executions":                                    {seers, "Puts a step of a commit into the queue. Whatever can be known to be wrong is refused here, each field by name.", "environment_quota commit_unknown"},
	"get-executions-execution":                           {seers, "A run of a step: what it was given, how it went, what it left, and how its image was pulled.", ""},
	"get-executions-execution-events":                    {seers, "The log, oldest line first. As `text/event-stream` it is followed: lines come as they are written, until the execution has ended.", ""},
	"get-executions-execution-metadata":                  {seers, "The JSON objects that the command printed on lines of their own.", ""},
	"post-executions-execution-stop":                     {seers, "Asks for the execution to be stopped. One that waits in the queue is stopped at once; of one that runs its worker ends the command.", "execution_ended"},
	"post-executions-execution-copy":                     {seers, "Puts the same step, of the same commit, with the same inputs and parameters into the queue again.", "environment_quota"},
	"put-executions-execution-tags":                      {seers, "Puts these tags in the place of those that there are.", ""},
	"delete-executions-execution":                        {seers, "Deletes the execution with its log and its outputs. It must have ended.", "execution_running"},
	"get-data":                                           {everyToken, "Files that executions left in their outputs: of one execution, of a project, or of all that the caller may see.", "execution_unknown project_unknown"},
	"get-data-datum":                                     {seers, "What is known of one file, also after its bytes were deleted.", ""},
	"get-data-datum-download":                            {seers, "Makes an address of the file's bytes that is good for a quarter of an hour and needs no token.", ""},
	"get-data-datum-content":                             {linked, "The bytes of a file, at an address that `download/` made. A range to the end is answered, so that a download can go on.", "datum_unknown datum_purged"},
	"post-data-datum-purge":                              {seers, "Deletes the bytes; that the file was there is still known. The execution that left it must have ended.", "execution_runs"},
	"get-registry-credential-kinds":                      {everyToken, "The kinds of registry credential that this server can trade, and the fields of each.", ""},
	"get-registry-credentials":                           {admins, "Credentials of the organisations that the caller administers. No answer ever holds a secret.", "organization_unknown"},
	"post-registry-credentials":                          {admins, "Seals a credential for images that match its patterns, and asks the registry what it is good for unless `check` is false.", "organization_unknown"},
	"get-registry-credentials-credential":                {admins, "A credential, without its secrets, with what the registry said of it last.", ""},
	"put-registry-credentials-credential":                {admins, "Changes what the request names and leaves the rest; fields of the configuration that are absent keep their values.", "credential_changed"},
	"patch-registry-credentials-credential":              {admins, "Changes what the request names and leaves the rest; fields of the configuration that are absent keep their values.", "credential_changed"},
	"delete-registry-credentials-credential":             {admins, "Deletes a credential with its secrets. Executions that start later pull without it.", ""},
	"post-registry-credentials-credential-check":         {admins, "Asks the registry who the credential is and what it may read. As `application/x-ndjson` each step is told as it is done.", ""},
	"post-registry-credentials-credential-rotate":        {admins, "Checks a new secret, and puts it in the place of the old one, which is held until the last grant made of it ends.", ""},
	"post-check":                                         {seers, "Pulls an image's manifest as an execution of the project would, and tells what came of it.", ""},
	"get-explain":                                        {seers, "Which credential an image would be pulled with in a project, which others cover it, and which nearly do. No registry is asked.", ""},
	"get-notice-channels":                                {overseers, "Channels of the organisations that the caller administers, and for operators those of the installation.", ""},
	"post-notice-channels":                               {overseers, "Makes a channel by mail or webhook. A webhook's signing secret is in this answer alone.", "channels_many smtp_missing"},
	"get-notice-channels-channel":                        {overseers, "A channel with what it is told and what came of the last attempt.", ""},
	"patch-notice-channels-channel":                      {overseers, "Changes what the request names and leaves the rest.", "channel_changed"},
	"delete-notice-channels-channel":                     {overseers, "Removes a channel; what is still on its way to it is not sent.", ""},
	"post-notice-channels-channel-test":                  {overseers, "Sends a test at once, and tells what the receiver answered.", ""},
	"get-notice-channels-channel-deliveries":             {overseers, "Messages of the channel, the newest first: those that wait, those that arrived, and those that were given up.", ""},
	"get-notice-wishes-me":                               {everyUser, "What the caller is mailed when executions that they started end.", ""},
	"put-notice-wishes-me":                               {everyUser, "Says with which statuses executions of the caller are mailed to them.", "smtp_missing"},
	"get-audit":                                          {overseers, "Rows of the audit trail, the newest first: of the organisations that the caller administers, and for operators of the installation.", "organization_unknown"},
	"get-audit-export":                                   {overseers, "The same rows as a file, the oldest first, as JSON lines or as CSV. An export that breaks off does not come to its end, so that it is not taken for all.", "organization_unknown"},
	"get-audit-verify":                                   {operators, "Reads the whole chain and tells whether every row is there as it was written. As `application/x-ndjson` the progress is told.", "audit_hash"},
	"get-doctor":                                         {operators, "Looks at the server's database, keys, audit trail, disks, engine and ways to the registries, whose hosts it asks without a login, and tells what is wrong and what to do. With `credentials=true` the registries are asked about each credential as well.", "doctor_missing"},
	"post-keys-rotate":                                   {operators, "Makes a new key, seals every secret anew with it, and retires the old ones. The server stays up.", ""},
	"get-tokens":                                         {everyToken, "The caller's own tokens, without their texts.", ""},
	"post-tokens":                                        {everyUser, "Makes a token that acts as the caller. Its text is in this answer alone.", ""},
	"delete-tokens-token":                                {everyToken, "Ends a token of the caller, or for an operator also a worker's or a cache's; it is refused from the next request on.", ""},
	"get-worker-tokens":                                  {operators, "All workers' tokens, without their texts.", ""},
	"post-worker-tokens":                                 {operators, "Makes a token for a worker of one environment. Its text is in this answer alone.", ""},
	"delete-worker-tokens-token":                         {operators, "Ends a worker's token; it is refused from the next request on.", ""},
	"get-cache-tokens":                                   {operators, "All caches' tokens, without their texts.", ""},
	"post-cache-tokens":                                  {operators, "Makes a token for a pull-through cache apart from the server. Its text is in this answer alone.", ""},
	"delete-cache-tokens-token":                          {operators, "Ends a cache's token; it is refused from the next request on.", ""},
	"post-cache-readers":                                 {caches, "Tells a cache apart from the server who logs in there, and for which project or execution.", "reader_unknown"},
	"post-cache-grants":                                  {caches, "Gives a cache apart from the server the right of who logs in there to one repository. A secret that only the server may have is not given.", "reader_unknown upstream_unknown"},
	"post-leases":                                        {workers, "Takes the next execution of the worker's environment, and waits for one at most as long as is said. 204 where none came.", ""},
	"post-leases-lease-renew":                            {holders, "Keeps the execution for a further life of the lease, and tells whether it is to be stopped.", ""},
	"get-leases-lease-stop":                              {holders, "Answers as soon as the execution is to be stopped, or after a while as it is.", ""},
	"post-leases-lease-events":                           {holders, "Stores lines of the log. A batch that comes twice under one number is stored once.", ""},
	"post-leases-lease-image":                            {holders, "Tells by its digest which image is run, and how it was pulled.", ""},
	"post-leases-lease-finish":                           {holders, "Tells how the execution ended, with the last lines of its log. The lease ends with it.", ""},
	"post-leases-lease-release":                          {holders, "Puts the execution back into the queue, at its old place.", "execution_stopping"},
	"get-leases-lease-package":                           {holders, "The package of the execution's code.", ""},
	"post-leases-lease-outputs":                          {holders, "Keeps a file of the outputs, while it arrives. It is known only when all of it is there.", "disk_full"},
	"get-leases-lease-data-datum":                        {holders, "The bytes of a file that an earlier execution left and that is among this one's inputs.", "datum_purged"},
	"post-pull-grants":                                   {holders, "Trades the credential that covers the image for a right to pull that one repository, for a short time.", "personal_project"},
}

// pathTexts are the parts of paths whose routes say nothing of them.
var pathTexts = map[string]string{
	"channel": "The channel's id", "credential": "The credential's id", "datum": "The file's id",
	"execution": "Id, PROJECT:COUNTER or PROJECT:latest", "lease": "The lease's id", "project": "Id, name or OWNER/NAME", "username": "The user's name",
}

// pathCodes are what is answered where a part of the path names nothing.
var pathCodes = map[string]string{
	"channel": "channel_unknown", "credential": "credential_unknown", "datum": "datum_unknown", "environment": "environment_unknown",
	"execution": "execution_unknown", "identifier": "commit_unknown", "invitation": "invitation_unknown", "lease": "lease_lost", "organization": "organization_unknown",
	"project": "project_unknown", "session": "session_unknown", "token": "token_unknown",
}

// codeKinds are the kinds of the codes above, which give them their statuses.
var codeKinds = map[fault.Kind]string{
	fault.Unauthenticated: "token_missing token_expired sign_in_refused code_required code_refused",
	fault.Denied:          "not_user not_admin not_operator not_worker not_cache link_expired reader_unknown upstream_unknown personal_project totp_own access_denied password_sign_in_off",
	fault.NotFound: "project_unknown organization_unknown execution_unknown environment_unknown datum_unknown datum_purged credential_unknown " +
		"commit_unknown channel_unknown lease_lost token_unknown variable_unknown repository_none " +
		"user_unknown identity_unknown session_unknown invitation_unknown user_code_unknown expired_token",
	fault.Conflict: "last_admin member_already identity_taken totp_on totp_off totp_not_begun user_taken organization_taken project_taken environment_taken " +
		"environment_default environment_used execution_runs execution_running execution_ended execution_stopping smtp_missing credential_changed channel_changed",
	fault.Exhausted:   "variables_many environment_quota channels_many disk_full source_too_large sign_in_throttled invitations_many device_requests_many slow_down user_code_guesses",
	fault.Invalid:     "source_unsafe source_corrupt audit_hash json authorization_pending",
	fault.Unavailable: "totp_unavailable doctor_missing",
}

// failure is an error that an operation is known for, in the document.
type failure struct {
	Status int    `json:"status" yaml:"status"`
	Code   string `json:"code" yaml:"code"`
}

// tell writes an operation's description, and for the reference who may call it and
// which errors it is known for.
func tell(op *huma.Operation) {
	told := tellings[op.OperationID]
	if told.what == "" {
		return
	}
	op.Description = told.what + "\n\nWho may: " + told.who.may
	op.Extensions = map[string]any{"x-who-may": told.who.may, "x-errors": failuresOf(op, told)}
}

func failuresOf(op *huma.Operation, told telling) []failure {
	codes := strings.Fields(told.who.codes + " " + told.codes)
	if len(op.Security) > 0 {
		codes = append(codes, "token_missing", "token_expired")
	}
	for _, name := range pathParameters(op.Path) {
		codes = append(codes, strings.Fields(pathCodes[name])...)
	}
	if op.RequestBody != nil && op.RequestBody.Content[jsonType] != nil {
		codes = append(codes, "json")
	}
	slices.Sort(codes)
	failures := make([]failure, 0, len(codes))
	for _, code := range slices.Compact(codes) {
		for kind, of := range codeKinds {
			if slices.Contains(strings.Fields(of), code) {
				p := newProblem(fault.New(kind, code, ""))
				failures = append(failures, failure{Status: p.Status, Code: code})
			}
		}
	}
	slices.SortStableFunc(failures, func(a, b failure) int { return a.Status - b.Status })
	return failures
}

// tellAll writes what the tables above say into the document.
func tellAll(document *huma.OpenAPI) {
	for _, path := range document.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op == nil {
				continue
			}
			tell(op)
			for _, p := range op.Parameters {
				if p.In == "path" && p.Description == "" {
					p.Description = pathTexts[p.Name]
				}
			}
		}
	}
}
