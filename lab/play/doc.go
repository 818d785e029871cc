// Package play is what the demos have in common: the command line, who plays BIRD, and the printer of the story.
package play
