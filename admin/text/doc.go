// Package text writes the answers of package admin as tables for a terminal: aligned, at most 80 columns where names
// and addresses allow it, problems first, coloured only when the caller asks. It asks nobody and decides nothing.
package text
