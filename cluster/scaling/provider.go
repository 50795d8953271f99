package scaling

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WorkersMax is the largest number of workers that a provider is asked for.
const WorkersMax = 1000

// Order is what a provider is told.
type Order struct {
	Workers int    // that are to run, 0 to WorkersMax
	Fence   uint64 // of the wish; grows
	// Holds says whether the order still stands: a provider that tries something again asks first. nil: it does.
	Holds func() bool
}

// Standing is how a provider says that things stand.
type Standing struct {
	Wanted  int // workers that it has been told to run
	Running int // that run, those among them that are just starting; -1: it does not know
	Leaving int // that still run, but have been told to end; not in Running
	// Instances are its workers one by one, if it tells them apart.
	Instances []Instance
}

// Instance is one worker, as its provider knows it.
type Instance struct {
	Name    string
	Process int       // 0: not known
	Started time.Time // zero: not known
	Leaving bool
}

// Provider runs workers. Its methods return by the context's end, and are called one at a time. An error is a *Fault where something can be
// done about it.
type Provider interface {
	// Name is the provider in one word.
	Name() string
	// Scale has so many workers run. It returns when they have been asked for, which is long before they serve. Asked again it changes
	// nothing.
	Scale(context.Context, Order) error
	// Status tells how it stands.
	Status(context.Context) (Standing, error)
}

// Ownable is a Provider of workers that something else may be in charge of.
type Ownable interface {
	Provider
	// Free gives a *Fault while it is. It returns by the context's end.
	Free(context.Context) error
}

// Fault is a failure of a provider, and what an operator can do about it.
type Fault struct {
	What   string
	Remedy string
	Err    error // its cause; may be nil
}

func (f *Fault) Error() string { return "scaling: " + f.What + "; " + f.Remedy }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// ErrOvertaken: the provider has had an order with a higher fence. Nothing was done.
var ErrOvertaken = errors.New("scaling: a later wish has been seen to already; nothing was done")

func fault(err error, remedy, format string, args ...any) *Fault {
	return &Fault{What: fmt.Sprintf(format, args...), Remedy: remedy, Err: err}
}

func (o Order) holds() bool { return o.Holds == nil || o.Holds() }

func (o Order) check() error {
	if o.Workers < 0 || o.Workers > WorkersMax {
		return fault(nil, "wish for fewer", "%d workers are asked for; 0 to %d can be", o.Workers, WorkersMax)
	}
	return nil
}
