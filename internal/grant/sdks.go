package grant

import (
	_ "cloud.google.com/go/auth/credentials"
	_ "cloud.google.com/go/auth/credentials/externalaccount"
	_ "cloud.google.com/go/auth/credentials/impersonate"
	_ "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	_ "github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)
