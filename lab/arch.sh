#!/bin/sh
# The tests that need no kernel of their own, under qemu's emulation of other processors: what is encoded for the kernel and read
# from it depends on the byte order (s390x is big-endian), policy and configuration must not. Installs qemu-user-static where
# it is missing.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
if ! command -v qemu-s390x-static >/dev/null; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null
fi
# TestKernel… need a kernel; TestNarrowRules opens netlink sockets of a kind that qemu does not translate; TestSocketsOfThisHost
# reads /proc/net/tcp, which has the byte order of the real processor.
for arch in arm64:aarch64 ppc64le:ppc64le s390x:s390x; do
	echo "$arch"
	CGO_ENABLED=0 GOARCH=${arch%:*} "${GO:-go}" test -count=1 -exec "qemu-${arch#*:}-static" -timeout 20m -skip '^(TestKernel|(TestNarrowRules|TestSocketsOfThisHost)$)' \
		./peering ./peering/roster ./config ./admin ./kernel ./guard ./snat ./doctor ./why ./calico
done
