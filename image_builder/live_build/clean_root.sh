# What no published root may hold: takes it away, then proves that it is gone.
# Sourced after step.sh, with the root at chroot/, IMAGE_HOSTNAME set and the project's config/ beside it.
# shellcheck shell=sh

included() { # does the project bring this file itself?
	for from in includes.chroot includes.chroot_after_packages includes.chroot_before_packages; do
		[ ! -e "config/$from/$1" ] || return 0
	done
	return 1
}

clean_root() {
	root=chroot
	if ! included etc/hostname; then
		printf '%s\n' "$IMAGE_HOSTNAME" >$root/etc/hostname
	fi
	if ! included etc/hosts; then
		printf '%s\n' '127.0.0.1	localhost' "127.0.1.1	$IMAGE_HOSTNAME" \
			'::1		localhost ip6-localhost ip6-loopback' \
			'ff02::1		ip6-allnodes' 'ff02::2		ip6-allrouters' >$root/etc/hosts
	fi
	if [ -f $root/etc/resolv.conf ] && [ ! -L $root/etc/resolv.conf ] && ! included etc/resolv.conf; then
		: >$root/etc/resolv.conf
	fi
	rm -f $root/etc/.resolv.conf.systemd-resolved.bak # the builder's, kept by the package's postinst
	included usr/sbin/policy-rc.d || rm -f $root/usr/sbin/policy-rc.d
	included etc/apt/apt.conf.d/00recommends || rm -f $root/etc/apt/apt.conf.d/00recommends
	rm -f $root/etc/ssh/ssh_host_*_key $root/etc/ssh/ssh_host_*_key.pub
	if [ -e $root/etc/machine-id ]; then : >$root/etc/machine-id; fi
	if [ -f $root/var/lib/dbus/machine-id ] && [ ! -L $root/var/lib/dbus/machine-id ]; then
		rm -f $root/var/lib/dbus/machine-id
	fi
	rm -f $root/var/lib/systemd/random-seed $root/var/lib/systemd/credential.secret
	rm -f $root/var/cache/apt/*.bin $root/var/cache/ldconfig/aux-cache
	rm -f $root/var/cache/debconf/*-old $root/var/lib/dpkg/*-old $root/var/lib/ucf/*.[0-9]
	rm -f $root/root/.bash_history $root/root/.wget-hsts $root/root/packages.chroot $root/root/packages.chroot.cfg
	find $root/var/log -type f ! -name '*tmp' ! -name lastlog ! -name faillog ! -name README -delete
	find $root/var/log -type f \( -name '*tmp' -o -name lastlog -o -name faillog \) -exec truncate -s 0 {} +
	find $root/tmp $root/var/tmp $root/run -mindepth 1 -delete
}

check_root() {
	root=chroot
	found=${FINDINGS:-/tmp/check_root}
	: >"$found"
	bad() { printf '%s\n' "$*" >>"$found"; }
	for name in "$root"/etc/ssh/ssh_host_*_key; do
		[ ! -e "$name" ] || bad "host key: ${name#"$root"}"
	done
	[ ! -s $root/etc/machine-id ] || [ "$(cat $root/etc/machine-id)" = uninitialized ] || bad "machine-id: /etc/machine-id is set"
	[ -L $root/var/lib/dbus/machine-id ] || [ ! -e $root/var/lib/dbus/machine-id ] || bad "machine-id: /var/lib/dbus/machine-id is set"
	included usr/sbin/policy-rc.d || [ ! -e $root/usr/sbin/policy-rc.d ] || bad "policy-rc.d is left behind"
	for name in 00recommends 00secure 00pipeline 99mmdebstrap; do
		included "etc/apt/apt.conf.d/$name" || [ ! -e "$root/etc/apt/apt.conf.d/$name" ] || bad "apt setting of the build: /etc/apt/apt.conf.d/$name"
	done
	included etc/apt/apt.conf || [ ! -e $root/etc/apt/apt.conf ] || bad "apt setting of the build: /etc/apt/apt.conf"
	for name in "$root"/etc/apt/apt.conf.d/*; do
		if [ -f "$name" ] && ! included "${name#"$root"/}" && grep -qi 'acquire::.*proxy' "$name"; then
			bad "proxy setting of the build: ${name#"$root"}"
		fi
	done
	for name in live-build 99mmdebstrap; do
		[ ! -e "$root/etc/dpkg/dpkg.cfg.d/$name" ] || bad "dpkg setting of the build: /etc/dpkg/dpkg.cfg.d/$name"
	done
	if [ -s $root/etc/resolv.conf ] && [ ! -L $root/etc/resolv.conf ] && ! included etc/resolv.conf; then
		bad "resolv.conf of the builder"
	fi
	[ ! -e $root/etc/.resolv.conf.systemd-resolved.bak ] || bad "resolv.conf of the builder: .resolv.conf.systemd-resolved.bak"
	name=$(cat $root/etc/hostname 2>/dev/null || true)
	case $name in
	localhost.localdomain | "$BUILDER_HOSTNAME") included etc/hostname || [ "$name" = "$IMAGE_HOSTNAME" ] || bad "hostname is $name" ;;
	esac
	grep -q '^127\.0\.0\.1.*localhost' $root/etc/hosts 2>/dev/null || bad "/etc/hosts does not name localhost"
	if grep -qs 'localhost\.localdomain' $root/etc/hosts $root/etc/hostname; then bad "localhost.localdomain is left behind"; fi
	find $root/var/log -type f -size +0 ! -name README -printf 'log: /var/log/%P\n' >>"$found"
	find $root/var/cache/apt -type f \( -name '*.deb' -o -name '*.bin' \) -printf 'cache: /var/cache/apt/%P\n' >>"$found"
	if [ "${IMAGE_APT_INDICES:-false}" != true ]; then
		find $root/var/lib/apt/lists -type f ! -name lock -printf 'cache: /var/lib/apt/lists/%P\n' >>"$found"
	fi
	[ ! -e $root/var/cache/ldconfig/aux-cache ] || bad "cache: /var/cache/ldconfig/aux-cache"
	find $root/proc $root/sys $root/dev/pts -mindepth 1 -maxdepth 1 -printf 'left mounted or copied: %p\n' 2>/dev/null | head -n 3 >>"$found"
	if [ -d $root/boot ]; then
		find $root/boot -name 'initrd*' -type f -size 0 -printf 'never made: /boot/%P\n' >>"$found"
	fi
	# live-build's own diversions, with their programs still out of the way
	for name in /usr/sbin/start-stop-daemon /usr/bin/hostname /bin/hostname; do
		[ ! -e "$root$name.distrib" ] || bad "diverted: $name.distrib"
	done
	for name in .live-build live-build packages; do
		[ ! -e "$root/$name" ] || bad "working file of live-build: /$name"
	done
	find $root/root -maxdepth 1 \( -name '*.chroot' -o -name '*.chroot_early' \) -printf 'working file of live-build: /root/%f\n' >>"$found"
	if [ -s "$found" ]; then
		sed 's/^/E: root is not clean: /' "$found"
		fail "the finished root holds what no image may hold ($(wc -l <"$found") findings)"
	fi
	say "root is clean"
}
