// Package admin is how people and scripts ask a running daemon how it is: the stable JSON schema, the HTTP server on
// a unix socket that answers in it, the client of the `routed` commands, and the rules that turn a status into a list
// of problems. Tables for terminals are in package admin/text.
//
// It owns the socket file and the wording of problems. It refuses to change anything: every request is a GET, and the
// answers are pictures of the daemon that package cmd takes through [Source]. docs/admin-api.md is its reference.
package admin
