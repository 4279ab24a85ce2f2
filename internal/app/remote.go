package app

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/engine/runc"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/inputs"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/worker"
)

// machine is what executions run with on this machine.
type machine struct {
	engine *runc.Engine
	images *pull.Store
	inputs *inputs.Cache
}

// openMachine opens the engine and the image store below dir. The image store
// belongs to one process at a time.
func openMachine(dir string, config WorkerConfig, logger *slog.Logger) (machine, error) {
	if os.Geteuid() != 0 {
		return machine{}, fault.New(fault.Invalid, "root_needed", "running containers needs root").
			WithHint("Start it with sudo, or start `fairlead serve --worker=false` here and a worker on another machine.")
	}
	engine, err := runc.New(runc.Config{Command: config.Runtime, Root: filepath.Join(dir, "containers"), Logger: logger})
	if err != nil {
		return machine{}, err
	}
	igzip, err := exec.LookPath("igzip")
	if err != nil {
		logger.Info("layers are unpacked by what is built in; Intel's igzip, if it is installed (apt install isal), makes pulls faster")
	}
	images, err := pull.Open(pull.Config{
		Root: imagesDir(dir), MaxStored: int64(config.ImagesLimit), FloorFree: int64(config.ImagesFloor),
		AllowDevices: config.AllowDeviceNodes, Limits: config.Pull, Igzip: igzip, Logger: logger,
	})
	if err != nil {
		return machine{}, err
	}
	here := machine{engine: engine, images: images}
	here.inputs, err = inputs.Open(inputs.Config{Dir: filepath.Join(dir, "inputs")}) // the image store's lock is for it too
	return here, err
}

// RemoteConfig is how a worker apart from the server is run.
type RemoteConfig struct {
	DataDir    string
	Worker     WorkerConfig
	Registries RegistryConfig

	TraceEndpoint string // as Config has it
}

// workerDataDir is where a worker apart from the server keeps its data.
const workerDataDir = "/var/lib/fairlead-worker"

// Flags defines the flags of c on set.
func (c *RemoteConfig) Flags(set *pflag.FlagSet) {
	set.StringVar(&c.DataDir, "data-dir", workerDataDir, "directory of images and of what is running")
	c.Worker.flags(set)
	c.Registries.flags(set)
	traceFlag(set, &c.TraceEndpoint)
}

// RunWorker runs executions of the server until ctx ends.
func RunWorker(ctx context.Context, config RemoteConfig, server, token, version string, logger *slog.Logger) error {
	if err := config.Worker.check(); err != nil {
		return err
	}
	dir, err := filepath.Abs(config.DataDir)
	if err != nil {
		return fault.InvalidField("data-dir", "directory", "%v", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.InvalidField("data-dir", "directory", "%v", err)
	}
	reach, err := config.Registries.OCI()
	if err != nil {
		return err
	}
	tracer, err := openTracer(ctx, config.TraceEndpoint, "fairlead-worker", version, logger)
	if err != nil {
		return err
	}
	defer tracer.Close()
	observe := telemetry.New(nil, tracer)
	reach.Observer = observe
	here, err := openMachine(dir, config.Worker, logger)
	if err != nil {
		return err
	}
	defer func() {
		if err := here.images.Close(); err != nil {
			logger.Error("closing the image store", "error", err)
		}
	}()
	api, err := client.New(client.Config{Server: server, Token: secret.New(token), UserAgent: "fairlead-worker/" + version, Around: tracer.Calls})
	if err != nil {
		return err
	}
	defer api.Close()
	logger.Info("running executions", "server", server)
	transport, err := oci.NewTransport(reach)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	return here.worker(api, secret.New(token), dir, config.Worker, reach, transport, observe, logger).Run(ctx)
}

// worker wires a worker that speaks to api with a token; transport reaches what reach
// says, for what the machine's own role is asked.
func (m machine) worker(api *client.Client, token secret.Text, dir string, config WorkerConfig, reach oci.Config, transport *oci.Transport, observe *telemetry.Observer, logger *slog.Logger) *worker.Worker {
	return worker.New(worker.Config{
		Client: api, Images: m.images, Inputs: m.inputs, Engine: m.engine, Dir: filepath.Join(dir, "work"),
		Slots: config.Slots, Registries: reach, Devices: config.Devices, Mounts: config.Mounts,
		Cache: config.cache(token),
		Roles: adapter.Roles{Issuer: grant.NewRoleIssuer(grant.RoleConfig{Transport: transport})},
		Grace: config.Grace, Drain: config.Drain, Logger: logger, Observer: observe,
	})
}
