#!/bin/sh
# Runs every native fuzz target of the module for the given time each: lab/fuzz.sh 30s
set -eu
cd "$(dirname "$0")/.."
for file in $(git ls-files '*_test.go'); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "== $target in $(dirname "$file")"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" -fuzzminimizetime 1x "./$(dirname "$file")"
	done
done
