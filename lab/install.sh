#!/bin/sh
# Plays TestPackage on a clean Debian: install.sh SUITE. debootstrap unpacks it into .cache/lab/, once; nothing is installed on
# this host but debootstrap, where it is missing. It needs root.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null; }
root=$PWD/.cache/lab/clean-$1
if [ ! -e "$root/.complete" ]; then
	rm -rf "$root"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,iproute2,procps,man-db "$1" "$root" >"$root.log" || { tail "$root.log" >&2; exit 1; }
	touch "$root/.complete"
fi
ROUTED_TEST_ROOT=$root ROUTED_LAB_REQUIRED=1 "${GO:-go}" test -count=1 -run '^TestPackage$' -v ./lab
