#!/bin/sh
# Builds the packages:  NFPM=… VERSION=… REVISION=… SOURCE_DATE_EPOCH=… build.sh OUTPUT FORMAT[,FORMAT] ARCH...
# VERSION is what the daemon says; PACKAGE_VERSION what the packages are (default: made of it). The same commit gives the same
# bytes: every time in them is SOURCE_DATE_EPOCH. Called by `make package` and by the lab.
set -eu
: "${NFPM:?}" "${VERSION:?}" "${REVISION:?}" "${SOURCE_DATE_EPOCH:?}"
export SOURCE_DATE_EPOCH
GO=${GO:-go}
output=$1 formats=$2
shift 2
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$(dirname "$0")"

# v1.2.3 is 1.2.3; 4 commits later it is 1.2.3+4.gabcdef; without a tag it is 0.0.0+20260102030405.abcdef, by the commit's
# time: each is newer than the one before, for dpkg and rpm.
case $VERSION in
v[0-9]*) version=$(printf %s "${VERSION#v}" | sed -e 's/-/+/' -e 's/-/./g') ;;
*) version=0.0.0+$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(printf %s "$VERSION" | tr - .) ;;
esac
export PACKAGE_VERSION="${PACKAGE_VERSION:-$version}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# quietly shows what a command says only when it fails.
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

# What is the same for every architecture.
shared=$work/shared
mkdir -p "$shared/man" "$shared/completion"
export ROUTED_MAN_DIR="$shared/man" ROUTED_COMPLETION_DIR="$shared/completion"
quietly "$GO" test -count=1 -run '^(TestManPages|TestCompletionFiles)$' ../../cmd/routed
gzip -9n "$shared"/man/*
gzip -9nc ../../CHANGELOG.md >"$shared/changelog.gz"
cat >"$shared/changelog.yaml" <<END
- semver: $PACKAGE_VERSION
  date: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  packager: The routed project <routed@example.invalid>
  deb: {urgency: medium, distributions: [unstable]}
  changes: [{note: "What changed is in changelog.gz."}]
END

for arch; do
	export PACKAGE_ARCH="$arch"
	build=$work/$arch
	cp -r "$shared" "$build"
	sed "s|@BUILD@|$build|" nfpm.yaml >"$build/nfpm.yaml"
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$GO" build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$VERSION -X main.revision=$REVISION" -o "$build/routed" ../../cmd/routed
	for format in $(printf %s "$formats" | tr , ' '); do
		quietly "$NFPM" package --config "$build/nfpm.yaml" --packager "$format" --target "$output"
	done
done
