package pull

import (
	"context"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
	limiter "golang.org/x/time/rate"

	"fairlead.dev/fairlead/internal/fault"
)

// Limits keep pulls from taking what running executions need. Each is over all
// pulls of a store; the zero value sets none.
type Limits struct {
	// Bandwidth is how many bytes of layers may arrive in a second, at least
	// LeastBandwidth; 0: as many as come. A tenth of a second's bytes, or 256 KiB
	// if that is more, may come at once.
	Bandwidth int64

	// Downloads is how many layers may arrive at once; 0: Parallel of each pull.
	Downloads int

	// Connections is how many requests for layers may be answered at once; 0: one
	// for each layer that arrives, and those for parts ahead. With 1 no layer comes
	// in parts.
	Connections int

	// CPU is how many processors unpacking may use, at least LeastCPU: 0.5 is half
	// a core, 2 are two; 0: as many as there are. Counted is the processor time of
	// the threads that decompress layers, check what comes out and write the files,
	// in the kernel too. A twentieth of a second may be used at once. What network,
	// encryption and the check of what arrives take is not counted; but no more
	// arrives than is unpacked.
	CPU float64
}

// The least that is a limit and no stop.
const (
	LeastBandwidth = 1 << 10
	LeastCPU       = 0.01
)

// Check reports an Invalid fault for each limit that makes no sense. Fields are
// called bandwidth, downloads, connections and cpu, after prefix.
func (l Limits) Check(prefix string) error {
	var errs []error
	if l.Bandwidth != 0 && l.Bandwidth < LeastBandwidth {
		errs = append(errs, fault.InvalidField(prefix+"bandwidth", "pull_limit", "%d bytes in a second is less than %d", l.Bandwidth, LeastBandwidth))
	}
	if l.Downloads < 0 {
		errs = append(errs, fault.InvalidField(prefix+"downloads", "pull_limit", "%d is negative", l.Downloads))
	}
	if l.Connections < 0 {
		errs = append(errs, fault.InvalidField(prefix+"connections", "pull_limit", "%d is negative", l.Connections))
	}
	if most := float64(1 << 20); l.CPU != 0 && !(l.CPU >= LeastCPU && l.CPU <= most) {
		errs = append(errs, fault.InvalidField(prefix+"cpu", "pull_limit", "%v is no number of processors from %v on", l.CPU, LeastCPU).
			WithHint("Write 0.5 for half a core."))
	}
	return fault.Join(errs...)
}

// limits are Limits at work.
type limits struct {
	bandwidth   pace
	downloads   places
	connections places
	unpacking   share
}

func newLimits(l Limits) limits {
	return limits{
		bandwidth:   newPace(float64(l.Bandwidth), max(copyBuffer, float64(l.Bandwidth)/10)),
		downloads:   newPlaces(l.Downloads),
		connections: newPlaces(l.Connections),
		unpacking:   newShare(l.CPU),
	}
}

// places are for what may go on so many times at once; nil: as often as one likes.
type places struct{ free *semaphore.Weighted }

func newPlaces(n int) places {
	if n == 0 {
		return places{}
	}
	return places{semaphore.NewWeighted(int64(n))}
}

// take waits for a place; the error is that of ctx.
func (p places) take(ctx context.Context) (leave func(), err error) {
	if p.free == nil {
		return func() {}, nil
	}
	if err := p.free.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { p.free.Release(1) }, nil
}

// pace holds back who uses up more of something in a second than there is; nil:
// nobody.
type pace struct{ *limiter.Limiter }

// newPace is for so much in a second, of which atOnce may be used at once.
func newPace(inASecond, atOnce float64) pace {
	if inASecond == 0 {
		return pace{}
	}
	return pace{limiter.NewLimiter(limiter.Limit(inASecond), int(atOnce))}
}

// pay waits until what was used is there again; the error is that of ctx.
func (p pace) pay(ctx context.Context, used int64) error {
	for p.Limiter != nil && used > 0 {
		n := min(used, int64(p.Burst()))
		if err := p.WaitN(ctx, int(n)); err != nil {
			<-ctx.Done() // it may be known now that its end comes first
			return ctx.Err()
		}
		used -= n
	}
	return nil
}

// share is how much processor time unpacking may use. It holds whatever else the
// machine runs, and in whatever control group that is, which a thread's priority
// would not.
type share struct {
	nanoseconds pace
	used        func() time.Duration // processor time of the calling thread
}

func newShare(processors float64) share {
	const atOnce = 50 * time.Millisecond
	return share{newPace(processors*float64(time.Second), float64(atOnce)), threadTime}
}

// threadTime is the processor time of the calling thread, in the kernel too.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // it cannot fail on Linux
	return time.Duration(t.Nano())
}

// isLimited reports whether there is a limit at all.
func (s share) isLimited() bool { return s.nanoseconds.Limiter != nil }

// work has a function work on what it reads, and pauses it at its reads for as long
// as the processor time since the last one asks for. All of its work must be done
// by the calling goroutine, which has a thread of its own meanwhile.
func (s share) work(ctx context.Context, from io.Reader, do func(io.Reader) error) error {
	if !s.isLimited() {
		return do(from)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	last := s.used()
	pay := func() error {
		now := s.used()
		spent := now - last
		last = now
		return s.nanoseconds.pay(ctx, int64(spent))
	}
	err := do(readerFunc(func(p []byte) (int, error) {
		if err := pay(); err != nil {
			return 0, err
		}
		return from.Read(p)
	}))
	if err != nil {
		return err
	}
	return pay()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
