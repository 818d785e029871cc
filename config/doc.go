// Package config turns the configuration file into a typed, validated, immutable [Config].
//
// A file goes through three steps: the YAML parser; a strict decoder, which fills the raw structs and refuses every
// key they do not have and every value of the wrong type; and validation, which fills in defaults and judges values.
// Everything that is wrong is gathered and told at once, each with file, line, column, key and the line itself
// ([Error]); passwords are never shown. [Check] adds what can only be judged across clusters, with their nodes known.
//
// The package refuses to look at the host: the environment, the address of the default route and other files come
// in through [Env]. A key whose feature does not exist yet is refused, never ignored. reference.yaml documents every
// key, its default, unit and range; a test keeps it true.
//
// The decoder is this package's own: the YAML library's stops at the first of several mistakes, speaks of Go types,
// and forgets where a value stood.
package config
