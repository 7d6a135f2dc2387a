# Shell functions every step starts with. Runs under `sh -eu` in the tool root, in the work tree's top
# folder, in namespaces of its own: what is mounted or started here ends with the step.
# shellcheck shell=sh

say() { printf 'I: %s\n' "$*"; }
note() { printf 'N: %s\n' "$*"; } # the build's record keeps it
fail() {
	printf 'E: %s\n' "$*"
	exit 90
}

# Give the root a resolv.conf that works: a package such as systemd-resolved makes it a dangling
# link, after which apt waits 31 s for every index, only warns, and ends with status 0.
resolv() {
	[ -d chroot/etc ] && [ -f /etc/resolv.conf ] || return 0
	[ "$(cat chroot/etc/resolv.conf 2>/dev/null || true)" != "$(cat /etc/resolv.conf)" ] || return 0
	if [ -L chroot/etc/resolv.conf ]; then
		to=$(readlink chroot/etc/resolv.conf)
		case $to in
		/*) to=chroot$to ;;
		*) to=chroot/etc/$to ;;
		esac
		case $(realpath -m "$to") in
		"$PWD"/chroot/run/*) ;;
		*) return 0 ;; # not a run-time file: the package means it to stay
		esac
		mkdir -p "$(dirname "$to")"
		cat /etc/resolv.conf >"$to"
		printf '%s\n' "$to" >>/tmp/resolv.made
	elif [ -e .build/chroot_resolv ]; then
		cat /etc/resolv.conf >chroot/etc/resolv.conf
	fi
}
resolv_gone() {
	[ -f /tmp/resolv.made ] || return 0
	while read -r made; do rm -f "$made"; done </tmp/resolv.made
	rm -f /tmp/resolv.made
}

# helper NAME [ARGUMENT...]: one of live-build's helpers, and a look at what it left.
helper() {
	resolv
	lb "$@" || fail "live-build's helper $1 failed (exit $?)"
}
# The same for a helper that has to leave its stage file behind.
helper_done() {
	helper "$@"
	name=$1
	case $name:${2:-} in
	*:install | *:live) name=$name.$2 ;;
	esac
	[ -e ".build/$name" ] || [ -e ".build/$1" ] || fail "live-build's helper $1 ended well, but left no stage file"
}

# The same for a helper that ends by removing every .deb in the root's cache: ours are fetched already and
# still to be installed.
helper_sparing_packages() {
	mount -t tmpfs -o mode=0755 tmpfs chroot/var/cache/apt/archives
	mkdir -m 0700 chroot/var/cache/apt/archives/partial
	helper "$@"
	umount chroot/var/cache/apt/archives
}

# live-build's own helpers mount into the root; a step's mounts are gone with its namespace, so the
# stage files a layer below brought along say nothing about this step.
mounts() {
	rm -f .lock .build/chroot_devpts .build/chroot_proc .build/chroot_sysfs .build/chroot_selinuxfs
	helper chroot_devpts install
	helper chroot_proc install
	helper chroot_sysfs install
	[ -e chroot/proc/version ] || fail "proc is not mounted in the root"
}
unmounts() {
	resolv_gone
	awk -v top="$PWD/chroot/" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r >/tmp/mounts
	while read -r at; do
		case $at in
		"$PWD"/chroot/dev/pts | "$PWD"/chroot/proc | "$PWD"/chroot/sys | "$PWD"/chroot/sys/fs/selinux) ;;
		*) say "left mounted, unmounted now: ${at#"$PWD/chroot"}" ;;
		esac
		umount "$at" || fail "$at is held by a process; see the end of the log"
	done </tmp/mounts
	rm -f .lock .build/chroot_devpts .build/chroot_proc .build/chroot_sysfs .build/chroot_selinuxfs
}

# lists FILE: apt's lists in the root have to be the frozen ones. FILE has lines "SHA256  NAME".
lists() {
	[ -s "$1" ] || fail "no frozen lists to compare with"
	(cd chroot/var/lib/apt/lists && sha256sum --quiet --check "$1") ||
		fail "apt saw another archive than the lock: it has moved since; make a new lock with --update"
}

# Make the initramfs of every kernel that has none.
initramfs_once() {
	for modules in chroot/lib/modules/*; do
		version=${modules##*/}
		if [ -d "$modules" ] && [ ! -e "chroot/boot/initrd.img-$version" ]; then
			chroot chroot env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
				SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" update-initramfs -c -k "$version"
		fi
	done
}

# preseed: snapd's work of the first boot, done in the root already, where its snapd can and this host lets it.
preseed() {
	[ -e chroot/var/lib/snapd/seed/seed.yaml ] || return 0
	if [ ! -x chroot/usr/lib/snapd/snap-preseed ]; then
		note "snaps are seeded and not preseeded: the snapd of the root has no snap-preseed; the first boot takes longer"
	elif [ "$(cat chroot/sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ]; then
		note "snaps are seeded and not preseeded: AppArmor is not there or off on this host; the first boot takes longer"
	elif [ ! -x chroot/usr/bin/fusermount3 ] && [ ! -x chroot/bin/fusermount3 ]; then
		note "snaps are seeded and not preseeded: the root has no fuse3; the first boot takes longer"
	else
		mount -t securityfs securityfs chroot/sys/kernel/security
		if [ -e chroot/var/lib/snapd/state.json ]; then
			chroot/usr/lib/snapd/snap-preseed --reset "$PWD/chroot"
		fi
		chroot/usr/lib/snapd/snap-preseed "$PWD/chroot" || fail "snap-preseed failed (exit $?)"
		umount chroot/sys/kernel/security
		[ -e chroot/var/lib/snapd/state.json ] || fail "snap-preseed ended well, but left no state.json"
		note "snaps are preseeded, for the AppArmor features of this host's kernel"
	fi
}

# installed FILE: every package named in it has to be installed, or provided by one that is.
installed() {
	# shellcheck disable=SC2016 # dpkg-query's own fields
	dpkg-query --admindir=chroot/var/lib/dpkg -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
		sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/,/ /g' | tr -s ' ' '\n' | sort -u >/tmp/installed
	missing=
	# shellcheck disable=SC2013 # words, as apt-get is given them
	for name in $(cat "$1"); do
		case $name in
		*- | \?* | ~*) continue ;;
		esac
		name=${name%%=*} name=${name%%/*} name=${name%+} name=${name%%:*}
		grep -qxF "$name" /tmp/installed || missing="$missing $name"
	done
	[ -z "$missing" ] || fail "asked for, but not installed:$missing"
}
