package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// groupMost is how many changes share one transaction at most, so that none
// waits long for the others.
const groupMost = 256

// Tx is a change under way. It is good only inside the function that it was
// given to, and the only way to change anything. One change of a group that
// fails is undone alone.
type Tx struct{ *statements }

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	statement, err := tx.prepared(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := statement.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// must runs a statement that changes one row; sql.ErrNoRows if it changed none.
func (tx *Tx) must(ctx context.Context, text string, args ...any) error {
	changed, err := tx.exec(ctx, text, args...)
	if err == nil && changed == 0 {
		err = sql.ErrNoRows
	}
	return err
}

// writer makes changes one after the other, on one connection, from one
// goroutine. All that wait when it is free become one transaction: a group.
type writer struct {
	conn *sql.Conn
	tx   *Tx
	jobs chan *job

	closing chan struct{} // closed: nothing more is taken
	ended   chan struct{} // closed: nothing is under way
	once    sync.Once
	stopErr error
}

// job is a change that somebody waits for.
type job struct {
	ctx  context.Context // ends never; has the values of the asker's
	run  func(ctx context.Context, tx *Tx) error
	err  error
	done chan struct{}
}

func startWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	w := &writer{
		conn: conn, tx: &Tx{newStatements(conn)},
		jobs: make(chan *job), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go w.work()
	return w, nil
}

// do has fn run and returns when what it did is on the disk.
func (w *writer) do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: context.WithoutCancel(ctx), run: fn, done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	<-j.done
	return j.err
}

// stop ends the writer after the group under way.
func (w *writer) stop() error {
	w.once.Do(func() {
		close(w.closing)
		<-w.ended
		w.stopErr = errors.Join(w.tx.close(), w.conn.Close())
	})
	return w.stopErr
}

func (w *writer) isStopped() bool {
	select {
	case <-w.closing:
		return true
	default:
		return false
	}
}

func (w *writer) work() {
	defer close(w.ended)
	group := make([]*job, 0, groupMost)
	for {
		select {
		case <-w.closing:
			return
		case j := <-w.jobs:
			group = append(group[:0], j)
		}
		for waiting := true; waiting && len(group) < groupMost; {
			select {
			case j := <-w.jobs:
				group = append(group, j)
			default:
				waiting = false
			}
		}
		w.runGroup(group)
		for i, j := range group {
			close(j.done)
			group[i] = nil
		}
	}
}

// runGroup runs the jobs as one transaction and sets their errors. Where the
// transaction itself fails, it fails for all that had not failed by themselves.
func (w *writer) runGroup(group []*job) {
	ctx := context.Background()
	err := w.control(ctx, `BEGIN IMMEDIATE`)
	for _, j := range group {
		if err != nil {
			break
		}
		err = w.runJob(j)
	}
	if err == nil {
		err = w.control(ctx, `COMMIT`)
	}
	if err == nil {
		return
	}
	_ = w.control(ctx, `ROLLBACK`) // it may be rolled back already
	for _, j := range group {
		if j.err == nil {
			j.err = err
		}
	}
}

// runJob runs one job inside the transaction. Its own failure is undone and
// kept with it; what is returned has broken the transaction.
func (w *writer) runJob(j *job) error {
	ctx := context.Background()
	if err := w.control(ctx, `SAVEPOINT job`); err != nil {
		return err
	}
	if j.err = j.run(j.ctx, w.tx); j.err != nil {
		if err := w.control(ctx, `ROLLBACK TO SAVEPOINT job`); err != nil {
			return err
		}
	}
	return w.control(ctx, `RELEASE SAVEPOINT job`)
}

func (w *writer) control(ctx context.Context, text string) error {
	_, err := w.tx.exec(ctx, text)
	return err
}
