// Package report is what a benchmark leaves behind: one JSON file per run with a versioned schema (schema.json), lines that
// benchstat reads, SVG plots, a page of HTML for strangers that needs nothing beside itself, and the same as Markdown with a table
// beside every plot. Both pages are made from one view of the result, so that they cannot differ in what they say.
//
// The package computes nothing that was not measured. It holds what was found, says on which machine and against which
// baseline, and what the run did not look at; whoever repeats the run gets the same form.
package report
