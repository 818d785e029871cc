# The first process of a machine, in namespaces of its own and in the network of its node. $1 is a folder for its files, $2 the
# root it starts from, $3 the folder of its cgroup. It makes a copy-on-write root and becomes systemd.
set -eu
mount --make-rprivate /
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p proc sys dev run tmp mnt
mount -t proc proc proc
# What is not of a namespace is the host's: it cannot be changed from here.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind /proc/sys/net proc/sys/net
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mknod -m 666 dev/tty c 5 0
for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${d%:*}" c 1 "${d#*:}"; done
# Only what is asked for is started, and all of that: nothing that a distribution starts, or forbids containers to start.
rm -rf usr/sbin/policy-rc.d var/lib/man-db/auto-update etc/systemd/system/*.wants lib/systemd/system/*.wants usr/lib/systemd/system/*.wants
# The host's dpkg may be at work just now: here it was not interrupted.
rm -f var/lib/dpkg/updates/*
mkdir -p run/systemd/system
cat >run/systemd/system/lab.target <<END
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket systemd-journald-dev-log.socket
END
pivot_root . mnt
umount -l /mnt
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
	/lib/systemd/systemd --system --unit=lab.target --show-status=no --log-target=journal
