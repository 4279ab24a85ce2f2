package web_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// TestMain lets tests open a browser.
func TestMain(m *testing.M) { browsertest.Main(m) }
