package pull

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wantBetween checks the time since begin, by the clock of a synctest bubble.
func wantBetween(t *testing.T, begin time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(begin); took < least || took > most {
		t.Errorf("it took %s, want %s to %s", took, least, most)
	}
}

func TestNoMoreBytesArriveInASecondThanTheBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bandwidth, pulls, each = 10 << 20, 4, 25 << 20
		bytes := newLimits(Limits{Bandwidth: bandwidth}).bandwidth
		begin := time.Now()
		var group sync.WaitGroup
		for range pulls {
			group.Go(func() {
				for n := 0; n < each; n += copyBuffer {
					if err := bytes.pay(t.Context(), copyBuffer); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		wantBetween(t, begin, 9900*time.Millisecond, 9901*time.Millisecond) // a tenth of a second's came at once
	})
}

func TestABandwidthBelowOneReadIsKeptToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bytes := newLimits(Limits{Bandwidth: LeastBandwidth}).bandwidth
		begin := time.Now()
		if err := bytes.pay(t.Context(), 3*copyBuffer); err != nil {
			t.Error(err)
		}
		const second = copyBuffer / LeastBandwidth
		wantBetween(t, begin, 2*second*time.Second, 2*second*time.Second+time.Millisecond)
	})
}

func TestWhoWaitsForBandwidthIsEndedByItsContextAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bytes := newLimits(Limits{Bandwidth: LeastBandwidth}).bandwidth
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := bytes.pay(ctx, 1<<30); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantBetween(t, begin, time.Minute, time.Minute)
	})
}

func TestUnpackingUsesNoMoreThanItsShareOfTheProcessors(t *testing.T) {
	const layers, reads, work = 3, 100, 20 * time.Millisecond // of processor time, for each read
	for share, least := range map[float64]time.Duration{
		0.5: (layers*reads*work - 50*time.Millisecond) * 2,
		2:   (layers*reads*work - 50*time.Millisecond) / 2,
		8:   0, // more than there is to do
	} {
		synctest.Test(t, func(t *testing.T) {
			unpacking := newShare(share)
			begin := time.Now()
			var group sync.WaitGroup
			for range layers {
				var spent time.Duration // of this layer's thread
				mine := unpacking
				mine.used = func() time.Duration { return spent }
				group.Go(func() {
					err := mine.work(t.Context(), strings.NewReader(strings.Repeat("x", reads)), func(r io.Reader) error {
						for b := make([]byte, 1); ; spent += work {
							if _, err := r.Read(b); errors.Is(err, io.EOF) {
								return nil
							}
						}
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			wantBetween(t, begin, least, max(least+time.Millisecond, layers*reads*work/8))
		})
	}
}

func TestAnUnpackingThatIsEndedDoesNotPayFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		unpacking := newShare(LeastCPU)
		var spent time.Duration
		unpacking.used = func() time.Duration { return spent }
		begin := time.Now()
		err := unpacking.work(ctx, strings.NewReader("xx"), func(r io.Reader) error {
			spent += time.Hour
			_, err := r.Read(make([]byte, 1))
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantBetween(t, begin, time.Minute, time.Minute)
	})
}

func TestTheTimeOfAThreadGrowsWhileItWorks(t *testing.T) {
	err := newShare(1).work(t.Context(), strings.NewReader(""), func(io.Reader) error {
		for begin := threadTime(); threadTime() == begin; {
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
