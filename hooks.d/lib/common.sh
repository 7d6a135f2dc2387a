# shellcheck shell=sh
# What every .binary hook shares: where it stands, what it may use, what its artefacts are called.
#
# A hook starts with these lines, so that it works under image-builder (current folder: top of the work tree)
# and under plain live-build (current folder: binary/):
#
#     self=$(readlink -f "$0")
#     here=${self%/*}
#     [ -d chroot ] || cd ..
#     . "$here/../lib/common.sh"
#
# Reads:  PROJECT, SUBPROJECT, SUITE, ARCH, SOURCE_DATE_EPOCH, IMAGE_BUILDER_THREADS, IMAGE_BUILDER_MEMORY_MB
# Sets:   those that were unset; TZ, LC_ALL and umask, so that who starts a build does not change it
# Offers: say, die, artefact, have_architecture, threads_for, uuid_of, in_root, first_of, scratch_dir

export LC_ALL=C.UTF-8 TZ=UTC
umask 022

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

[ -d chroot/etc ] || die "no finished root at $PWD/chroot; hooks run in the top folder of a live-build tree or in binary/"

# Plain live-build keeps /proc, /sys and others mounted in chroot/ while hooks run. And when it builds with the chroot,
# chroot/ has programs it packs with and settings of the build, and the finished root is a copy in chroot/chroot, or in
# binary/ where no file system is made of it. Neither is part of an image, so the hook goes on in a mount namespace of
# its own where chroot/ is the finished root; what live-build mounted stays as it is.
if [ -n "${IN_OWN_NAMESPACE:-}" ]; then
    ! grep -q " $PWD/chroot/" /proc/self/mounts ||
        die "still mounted below $PWD/chroot: $(grep -o " $PWD/chroot/[^ ]*" /proc/self/mounts)"
elif grep -q " $PWD/chroot/" /proc/self/mounts || [ -d chroot/chroot/etc ] || [ -d binary/etc ]; then
    # shellcheck disable=SC2016,SC2154 # expanded by the inner shell; set by the hook
    IN_OWN_NAMESPACE=yes exec unshare --mount --propagation private sh -eu -c '
        awk -v below="$PWD/chroot/" "index(\$2, below) == 1 { print \$2 }" /proc/self/mounts | sort -r | xargs -r -n 1 umount
        if [ -d chroot/chroot/etc ]; then mount --bind chroot/chroot chroot
        elif [ -d binary/etc ]; then mount --bind binary chroot; fi
        exec "$0"' "$self"
fi

PROJECT=${PROJECT:-debian}
SUBPROJECT=${SUBPROJECT:-}
SUITE=${SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' chroot/etc/os-release)}
ARCH=${ARCH:-$(chroot chroot dpkg --print-architecture)}
# The time of the last package change is the nearest to a build's own instant that a root knows by itself.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y chroot/var/lib/dpkg/status)}
export PROJECT SUBPROJECT SUITE ARCH SOURCE_DATE_EPOCH

# artefact SUFFIX: the name of a file that this build hands out, e.g. `artefact squashfs` = livecd.debian.squashfs
artefact() { printf 'livecd.%s.%s' "$PROJECT" "$1"; }

# have_architecture NAME...: end well, with a line the user sees, where this format does not exist
have_architecture() {
    for known; do
        [ "$known" != "$ARCH" ] || return 0
    done
    say "declined: not made for architecture $ARCH (only: $*)"
    exit 0
}

# threads_for MB: how many threads of MB megabytes each this step may run, at least one. Only speed may depend on it.
threads_for() {
    wanted=${IMAGE_BUILDER_THREADS:-$(nproc)}
    if [ -n "${IMAGE_BUILDER_MEMORY_MB:-}" ]; then
        fitting=$((IMAGE_BUILDER_MEMORY_MB / $1))
        [ "$fitting" -ge "$wanted" ] || wanted=$fitting
    fi
    [ "$wanted" -ge 1 ] || wanted=1
    printf '%s' "$wanted"
}

# uuid_of WORD...: a UUID (version 8: made from a hash) that depends on the words alone. Images of one set of packages
# get the same identifiers on every machine; another set of packages gets others.
uuid_of() {
    printf '%s\n' "$@" | sha256sum |
        sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-8\3-9\4-\5/'
}

# in_root PATH: the place, from here, of a file of the finished root; links are followed as that root would
in_root() {
    place=$1
    for _ in 1 2 3 4 5 6 7 8; do
        [ -L "chroot$place" ] || break
        to=$(readlink "chroot$place")
        case $to in
            /*) place=$to ;;
            *) place=${place%/*}/$to ;;
        esac
    done
    printf '%s' "chroot$place"
}

# first_of FILE...: the first one that there is; ends the hook where there is none
first_of() {
    for file; do
        if [ -e "$file" ]; then
            printf '%s' "$file"
            return 0
        fi
    done
    die "none of these is there: $*"
}

# scratch_dir NAME: an empty directory that is gone when the hook ends. Sets $scratch. Use it once per hook.
scratch_dir() {
    scratch=$PWD/hook.$1
    rm -rf "$scratch"
    mkdir "$scratch"
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
