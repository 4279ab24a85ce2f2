package account

// What tests of this package look at from outside.
var (
	NormalCode       = normalCode
	HashRecoveryCode = hashRecoveryCode
)
