package bank

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// A worker is started with this node's own flags: whatever flag is added one day goes along by itself.
func TestAWorkerGetsEveryFlagOfItsNodeButThoseThatMakeItThisNode(t *testing.T) {
	var c Config
	v := reflect.ValueOf(&c).Elem()
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			field, tag := v.Field(i), v.Type().Field(i).Tag
			switch {
			case tag.Get("kong") == "-":
			case v.Type().Field(i).Anonymous:
				fill(field)
			case field.Type() == reflect.TypeFor[time.Duration]():
				field.SetInt(int64(i+1) * int64(time.Second))
			case field.Kind() == reflect.String:
				field.SetString("/text of " + v.Type().Field(i).Name)
			case field.Kind() == reflect.Bool:
				field.SetBool(true)
			case field.CanInt():
				field.SetInt(int64(100 + i))
			case field.Type() == reflect.TypeFor[[]string]():
				field.Set(reflect.ValueOf([]string{"a", "b"}))
			default:
				t.Fatalf("%s is a %v, which no worker can be given", v.Type().Field(i).Name, field.Type())
			}
		}
	}
	fill(v)
	c.CustomerAddr, c.PartnerAddr, c.OperatorAddr, c.ScalePort = "localhost:8080", "127.0.0.1:8443", "[::1]:9090", 7210
	c.DrainNotice, c.CoreConns = 0, 0 // their defaults are others
	c.Again = []string{"serve", "--verbose=false"}
	args, err := c.workerArgs(3, "/a/token")
	if err != nil || !slices.Equal(args[:2], c.Again) {
		t.Fatalf("%q, %v", args, err)
	}
	var got Config
	parser, err := kong.New(&got)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args[2:]); err != nil {
		t.Fatalf("%v of %q", err, args[2:])
	}
	want := c
	want.CustomerAddr, want.PartnerAddr, want.OperatorAddr = "localhost:7230", "127.0.0.1:7231", "[::1]:7232"
	want.DataDir, want.Role, want.JoinTokenFile = "", "worker", "/a/token"
	want.PeerAddr, want.PeerAdvertise, want.OperatorAdvertise, want.BootstrapExpect, want.Join, want.AcceptClock = "", "", "", 0, nil, false
	want.Scaling, want.Again = got.Scaling, nil
	if got.Scaling.Scale != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("the worker gets\n%+v\nwant\n%+v", got, want)
	}
}
