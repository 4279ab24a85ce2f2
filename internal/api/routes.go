package api

import (
	"net/http"

	"fairlead.dev/fairlead/internal/wire"
)

// routes lays every route. Who may do what is decided by the services.
func (d *door) routes() {
	open, closed := group{d, false}, group{d, true}

	get(open, "server/", "Who answers", d.server)
	post(open, "get-token/", "Trade a password for a token", d.getToken)

	get(closed, "users/me/", "Who I am", d.me)
	create(closed, "users/", "Make a user (operators)", d.createUser)
	get(closed, "users/{username}/identities/", "What a user signs in with at a provider: one's own, or as an operator anybody's", d.listIdentities)
	act(closed, "users/{username}/identities/", "Link an identity of a provider to a user (operators)", d.linkIdentity)
	remove(closed, "users/{username}/identities/", "Take an identity from a user: one's own, or as an operator anybody's", d.unlinkIdentity)
	act(closed, "users/{username}/password/", "Change a password: one's own, or as an operator anybody's", d.setPassword)

	get(closed, "sessions/", "Browsers that I am signed in with", d.listSessions)
	remove(closed, "sessions/", "Sign all of my browsers out", d.endOtherSessions)
	remove(closed, "sessions/{session}/", "Sign a browser out", d.endSession)
	get(closed, "totp/", "Whether I have a second factor", d.totpState)
	create(closed, "totp/", "Make the key of a second factor", d.beginTOTP)
	post(closed, "totp/confirm/", "Turn the second factor on with a code of its key", d.confirmTOTP)
	act(closed, "totp/disable/", "Turn my second factor off", d.disableTOTP)
	remove(closed, "users/{username}/totp/", "Turn the second factor of another user off (operators)", d.resetTOTP)

	get(closed, "organizations/", "My organisations", d.listOrganizations)
	create(closed, "organizations/", "Make an organisation (operators)", d.createOrganization)
	get(closed, "organizations/{organization}/members/", "An organisation's members", d.listMembers)
	create(closed, "organizations/{organization}/members/", "Give a user a role (admins)", d.setMember)
	remove(closed, "organizations/{organization}/members/{username}/", "Take a user out (admins)", d.removeMember)

	get(closed, "organizations/{organization}/invitations/", "An organisation's open invitations (admins)", d.listInvitations)
	create(closed, "organizations/{organization}/invitations/", "Invite somebody (admins)", d.createInvitation)
	remove(closed, "organizations/{organization}/invitations/{invitation}/", "Revoke an invitation (admins)", d.revokeInvitation)
	post(open, "invitations/show/", "What an invitation is to", d.showInvitation)
	create(open, "invitations/accept/", "Accept an invitation as a new user", d.acceptInvitation)
	post(closed, "invitations/join/", "Accept an invitation as myself", d.joinByInvitation)

	create(open, "device-logins/", "Ask to sign a machine in", d.beginDevice)
	post(open, "device-logins/token/", "The token of a machine, once somebody has approved", d.pollDevice)
	post(closed, "device-logins/show/", "What a machine asks that shows a code", d.showDevice)
	act(closed, "device-logins/approve/", "Sign that machine in as myself", d.approveDevice)
	act(closed, "device-logins/deny/", "Refuse that machine", d.denyDevice)

	get(closed, "projects/", "My projects", d.listProjects)
	create(closed, "projects/", "Make a project", d.createProject)
	get(closed, "projects/ownership_options/", "Names that a new project may be owned by", d.ownershipOptions)
	get(closed, "projects/{project}/", "A project", d.getProject)
	patch(closed, "projects/{project}/", "Change a project's settings", d.changeProject)
	post(closed, "projects/{project}/environment_variable/", "Set a variable of every execution of a project", d.setVariable)
	remove(closed, "projects/{project}/environment_variable/", "Take a variable away", d.deleteVariable)
	get(closed, "projects/{project}/repository/", "The git repository that a project is linked to", d.getRepository)
	put(closed, "projects/{project}/repository/", "Link a project to a git repository", d.linkRepository)
	remove(closed, "projects/{project}/repository/", "Take the link away", d.unlinkRepository)
	post(closed, "projects/{project}/fetch/", "Fetch the linked git repository", d.fetchRepository)
	get(closed, "projects/{project}/commits/", "A project's commits", d.listProjectCommits)
	plain(closed, http.MethodPost, "projects/{project}/import-package/", "Upload code as a commit", http.StatusCreated, describeImport, d.importPackage)
	get(closed, "commits/", "A project's commits", d.listCommits)
	get(closed, "commits/{identifier}/", "A commit", d.getCommit)

	get(closed, "environments/", "Environments that my projects may use", d.listEnvironments)
	create(closed, "environments/", "Make an environment (operators)", d.createEnvironment)
	get(closed, "environments/{environment}/", "An environment", d.getEnvironment)
	patch(closed, "environments/{environment}/", "Change an environment (operators)", d.changeEnvironment)
	remove(closed, "environments/{environment}/", "Remove an environment (operators)", d.deleteEnvironment)

	create(closed, "executions/", "Run a step", d.createExecution)
	get(closed, "executions/", "Executions", d.listExecutions)
	get(closed, "executions/{execution}/", "An execution", d.getExecution)
	plain(closed, http.MethodGet, "executions/{execution}/events/", "An execution's log, as a list or as a stream", http.StatusOK, describeEvents, d.events)
	get(closed, "executions/{execution}/metadata/", "What an execution told of itself", d.listMetadata)
	post(closed, "executions/{execution}/stop/", "Stop an execution", d.stopExecution)
	create(closed, "executions/{execution}/copy/", "Run an execution again, as it was", d.copyExecution)
	put(closed, "executions/{execution}/tags/", "Replace an execution's tags", d.setTags)
	remove(closed, "executions/{execution}/", "Delete an execution that has ended", d.deleteExecution)

	get(closed, "data/", "Files that executions left", d.listData)
	get(closed, "data/{datum}/", "A file that an execution left", d.getDatum)
	get(closed, "data/{datum}/download/", "An address of the file for a while", d.downloadDatum)
	plain(open, http.MethodGet, "data/{datum}/content/", "The file, for whoever has a link that holds", http.StatusOK, describeContent, d.datumContent)
	post(closed, "data/{datum}/purge/", "Delete the file", d.purgeDatum)

	get(closed, "registry-credential-kinds/", "Kinds of registry credential", d.listCredentialKinds)
	get(closed, "registry-credentials/", "Registry credentials (admins)", d.listCredentials)
	create(closed, "registry-credentials/", "Add a registry credential (admins)", d.createCredential)
	get(closed, "registry-credentials/{credential}/", "A registry credential (admins)", d.getCredential)
	put(closed, "registry-credentials/{credential}/", "Change a registry credential (admins)", d.changeCredential)
	patch(closed, "registry-credentials/{credential}/", "Change a registry credential (admins)", d.changeCredential)
	remove(closed, "registry-credentials/{credential}/", "Delete a registry credential (admins)", d.deleteCredential)
	plain(closed, http.MethodPost, "registry-credentials/{credential}/check/", "Ask the registry what a credential is good for (admins)", http.StatusOK, describeCheck, d.checkCredential)
	post(closed, "registry-credentials/{credential}/rotate/", "Put a new secret in the place of the old one (admins)", d.rotateCredential)
	post(closed, "check/", "Try to pull an image for a project, up to its manifest", d.checkImage)
	get(closed, "explain/", "Which credential an image would be pulled with, and why", d.explain)

	get(closed, "notice-channels/", "Where notices of what happened go (admins, operators)", d.listChannels)
	create(closed, "notice-channels/", "Make a notice channel (admins, operators)", d.createChannel)
	get(closed, "notice-channels/{channel}/", "A notice channel (admins, operators)", d.getChannel)
	patch(closed, "notice-channels/{channel}/", "Change a notice channel (admins, operators)", d.changeChannel)
	remove(closed, "notice-channels/{channel}/", "Remove a notice channel (admins, operators)", d.deleteChannel)
	post(closed, "notice-channels/{channel}/test/", "Send a test through a notice channel, and tell what came of it (admins, operators)", d.testChannel)
	get(closed, "notice-channels/{channel}/deliveries/", "What a notice channel was told, or is to be told (admins, operators)", d.listDeliveries)
	get(closed, "notice-wishes/me/", "What I am mailed of the executions that I start", d.getWish)
	put(closed, "notice-wishes/me/", "Change what I am mailed of the executions that I start", d.setWish)

	get(closed, "audit/", "Who did what (admins, operators)", d.listAudit)
	plain(closed, http.MethodGet, "audit/export/", "Who did what, as a file (admins, operators)", http.StatusOK, describeExport, d.exportAudit)
	plain(closed, http.MethodGet, "audit/verify/", "Whether the audit trail is as it was written (operators)", http.StatusOK, describeVerify, d.verifyAudit)
	get(closed, "doctor/", "What is wrong with the server, and what to do (operators)", d.examine)
	post(closed, "keys/rotate/", "Seal every secret with a new key (operators)", d.rotateKeys)

	get(closed, "tokens/", "My tokens", d.listTokens)
	create(closed, "tokens/", "Make a token", d.createToken)
	remove(closed, "tokens/{token}/", "End a token", d.deleteToken)
	get(closed, "worker-tokens/", "Workers' tokens (operators)", d.listWorkerTokens)
	create(closed, "worker-tokens/", "Make a worker's token (operators)", d.createWorkerToken)
	remove(closed, "worker-tokens/{token}/", "End a worker's token (operators)", d.deleteMachineToken)

	get(closed, "cache-tokens/", "Tokens of pull-through caches (operators)", d.listCacheTokens)
	create(closed, "cache-tokens/", "Make a token of a pull-through cache (operators)", d.createCacheToken)
	remove(closed, "cache-tokens/{token}/", "End a token of a pull-through cache (operators)", d.deleteMachineToken)

	// For pull-through caches.
	plain(closed, http.MethodPost, "cache/readers/", "Who logs in at a cache", http.StatusOK, describeCacheReader, d.cacheReader)
	plain(closed, http.MethodPost, "cache/grants/", "A pull grant for who logs in at a cache", http.StatusOK, describeCacheGrant, d.cacheGrant)

	// For workers.
	plain(closed, http.MethodPost, "leases/", "Take the next execution", http.StatusOK, describeTake, d.takeLease)
	post(closed, "leases/{lease}/renew/", "Keep an execution", d.renewLease)
	get(closed, "leases/{lease}/stop/", "Wait until the execution is to be stopped", d.waitForStop)
	plain(closed, http.MethodPost, "leases/{lease}/events/", "Store lines of the log", http.StatusNoContent, describeAppend, d.appendEvents)
	act(closed, "leases/{lease}/image/", "Tell which image is run", d.noteImage)
	plain(closed, http.MethodPost, "leases/{lease}/finish/", "End the execution", http.StatusNoContent, describeFinish, d.finishLease)
	act(closed, "leases/{lease}/release/", "Give the execution back", d.releaseLease)
	plain(closed, http.MethodGet, "leases/{lease}/package/", "The execution's code", http.StatusOK, describePackage, d.leasePackage)
	plain(closed, http.MethodPost, "leases/{lease}/outputs/", "Keep a file of the execution's outputs", http.StatusCreated, describeOutput, d.addOutput)
	plain(closed, http.MethodGet, "leases/{lease}/data/{datum}/", "A file of the execution's inputs", http.StatusOK, describeInput, d.leaseInput)
	plain(closed, http.MethodPost, "pull-grants/", "A pull grant for the execution's image", http.StatusOK, describeGrant, d.pullGrant)

	d.mux.HandleFunc("GET "+wire.Base+"openapi.json", d.openAPI)
	d.mux.HandleFunc("GET "+wire.Base+"openapi.yaml", d.openAPIYAML)
	d.mux.HandleFunc("GET "+wire.Base+"openapi-3.0.json", d.openAPI30)
	d.mux.HandleFunc("GET /schema/valohai-yaml.json", valohaiSchema)
	d.mux.HandleFunc("/", d.unknownPath)
}
