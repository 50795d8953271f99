// Package generator carries out jobs of package people in one process or in several.
//
// One process is enough until it becomes the bottleneck: its garbage collector and its one pacer then show in the latencies that
// it reports. Several share each job by the numbers of its arrivals, so that together they make exactly the requests that one would
// have made (load.Schedule.Share), and their results are merged (people.Outcome.Merge).
//
//	Processes ──order: jobs, share k of n──> Serve      one line of JSON each way, over the child's standard input and output
//	          <──ready───────────────────────           connections open, customers signed in
//	          ──start at a common moment────>
//	          <──outcomes────────────────────
package generator
