package oci

import "testing"

func TestAnAddressIsPublicOnlyIfTheWholeInternetReachesIt(t *testing.T) {
	tests := map[string]reach{
		"8.8.8.8:443":                 public,
		"[2606:4700::1]:443":          public,
		"10.1.2.3:443":                private,
		"172.16.0.1:443":              private,
		"192.168.1.1:443":             private,
		"100.64.0.1:443":              private,
		"[fd00::1]:443":               private,
		"[64:ff9b:1::1]:443":          private,
		"0.1.2.3:443":                 private,
		"127.0.0.1:443":               loopback,
		"127.255.0.1:443":             loopback,
		"0.0.0.0:443":                 loopback,
		"[::1]:443":                   loopback,
		"[::]:443":                    loopback,
		"169.254.169.254:80":          linkLocal,
		"[fe80::1%eth0]:443":          linkLocal,
		"[::ffff:169.254.169.254]:80": linkLocal,
		"[64:ff9b::a9fe:a9fe]:80":     linkLocal,
		"[64:ff9b::7f00:1]:80":        loopback,
		"[64:ff9b::808:808]:443":      public,
		"[fd00:ec2::254]:80":          linkLocal,
		"100.100.100.200:80":          linkLocal,
		"192.0.0.192:80":              linkLocal,
		"224.0.0.1:443":               linkLocal,
		"255.255.255.255:443":         private,
		"[::ffff:10.0.0.1]:443":       private,
	}
	for address, want := range tests {
		got, err := reachOf(address)
		if err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", address, got, err, want)
		}
	}
	if _, err := reachOf("registry.example.org:443"); err == nil {
		t.Error("a name was taken for an address")
	}
}

func TestANameTellsItsReachOnlyWhereItIsAnAddressOrLocalhost(t *testing.T) {
	tests := map[string]reach{
		"localhost": loopback, "LOCALHOST.": loopback, "a.localhost": loopback,
		"10.0.0.5": private, "::1": loopback, "registry.example.org": public, "notlocalhost": public,
	}
	for name, want := range tests {
		if got := reachOfName(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
