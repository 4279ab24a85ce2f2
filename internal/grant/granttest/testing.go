package granttest

import "fairlead.dev/fairlead/internal/oci"

// TB is what is needed of a testing.TB, which programs that are no test should
// not have to link.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New is Start for a test, which it ends with.
func New(t TB, options Options) *Registry {
	t.Helper()
	r, err := Start(options)
	if err != nil {
		t.Fatalf("starting a fake %s registry: %v", options.Kind, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing a fake %s registry: %v", options.Kind, err)
		}
	})
	return r
}

// NewTransport is a transport that reaches the given fakes, for a test.
func NewTransport(t TB, registries ...*Registry) *oci.Transport {
	t.Helper()
	var config oci.Config
	for _, r := range registries {
		config.Hosts = append(config.Hosts, r.Rules()...)
	}
	transport, err := oci.NewTransport(config)
	if err != nil {
		t.Fatalf("making a transport: %v", err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// NewAWS is StartAWS for a test, which it ends with.
func NewAWS(t TB, options AWSOptions) *AWS {
	t.Helper()
	a, err := StartAWS(options)
	if err != nil {
		t.Fatalf("starting a fake of AWS: %v", err)
	}
	closed(t, a.Registry)
	return a
}

// NewGoogle is StartGoogle for a test, which it ends with.
func NewGoogle(t TB, options GoogleOptions) *Google {
	t.Helper()
	g, err := StartGoogle(options)
	if err != nil {
		t.Fatalf("starting a fake of Google: %v", err)
	}
	closed(t, g.Registry)
	return g
}

// NewAzure is StartAzure for a test, which it ends with.
func NewAzure(t TB, options AzureOptions) *Azure {
	t.Helper()
	a, err := StartAzure(options)
	if err != nil {
		t.Fatalf("starting a fake of Azure: %v", err)
	}
	closed(t, a.Registry)
	return a
}

// NewMachine is StartMachine for a test, which it ends with.
func NewMachine(t TB, a *AWS, role string) *Machine {
	t.Helper()
	m, err := a.StartMachine(role)
	if err != nil {
		t.Fatalf("starting a machine's metadata: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("closing a machine's metadata: %v", err)
		}
	})
	return m
}

func closed(t TB, r *Registry) {
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing a fake registry: %v", err)
		}
	})
}
