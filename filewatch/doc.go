// Package filewatch tells when one of a set of files may hold something else than when it was last read.
//
// It notices a file that is written in place, replaced by rename, removed or made; a link on the way to it that is
// turned, as a Kubernetes ConfigMap's ..data is; and a file or directory that is not there yet. What counts is the
// content ([Sum]): a touch, or the same text again, is no change. Events come from inotify; since a host may have run
// out of that, and since not every file system tells, the files are also looked at now and then.
//
// It refuses to say what changed, and to read for others: the reader reads all it needs anew.
package filewatch
