package chaos

import "testing"

func TestAWorkerThatIsCutOffGrantsNothing(t *testing.T) {
	f := func(want int, all ...Operation) {
		t.Helper()
		if got := grantedIn(all, []span{{node: 4, from: 100, to: 200}}); len(got) != want {
			t.Errorf("%d found, want %d: %v", len(got), want, got)
		}
	}
	confirm := func(node int, call, end int64, status string) Operation {
		return Operation{Kind: Confirm, Key: "a", Node: node, Call: call, Return: end, Status: status}
	}
	f(1, confirm(4, 110, 190, Settled))
	f(0, confirm(4, 90, 190, Settled))  // offered before
	f(0, confirm(4, 110, 210, Settled)) // told when it was over
	f(0, confirm(5, 110, 190, Settled))
	f(0, confirm(4, 110, 190, Refused))
	f(0, confirm(4, 110, Never, ""))
	f(0, confirm(4, 50, Never, ""), confirm(4, 110, 190, Settled)) // the outcome of the first
	f(1, Operation{Kind: Confirm, Key: "b", Call: 10, Node: 4, Return: Never}, confirm(4, 110, 190, Settled))
}
