// Package doctor checks a host for what breaks the pod traffic between clusters, and says how to mend it.
//
// [Look] reads the host once, into a [Host], which is nothing but values. Each check is a function of that Host alone, in
// a file of its own with its test; [Examine] runs them all. Nothing here changes anything, and no daemon is needed.
//
// To add a check: write a file with a function from Host to []Check, add what it must see to Host and Look, and put the
// function into the list in [Examine].
package doctor
