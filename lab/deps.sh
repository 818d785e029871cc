#!/bin/sh
# Installs, on Debian and Ubuntu, the host tools that the lab (ip, nsenter, unshare), the race detector (gcc) and the test of the
# packages (lintian, systemd) need, if they are missing. Does nothing when they are there. Everything else the lab uses is unpacked into .cache/.
set -eu

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
PATH=$PATH:/usr/sbin:/sbin
need ip iproute2
need nsenter util-linux
need gcc gcc
need lintian lintian
[ -x /lib/systemd/systemd ] || missing="$missing systemd"
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "please install these (Debian's names):$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
