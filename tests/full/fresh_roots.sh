#!/bin/bash
# From nothing to tested images, as a newcomer does it: a clean clone of this project in a minimal root of each Debian
# release, there `make images` and `make test`, in mount and PID namespaces of their own.
#
#   fresh_roots.sh [--keep] [--only GOAL] [SUITE...]      default: bookworm trixie; needs root
#
# Into the root go git, make and ca-certificates, and from this machine what makes its network work: resolv.conf, CA
# certificates, proxies, pip's settings. TARGETS, as for make, are the images. TMPDIR (default /var/tmp) holds the
# roots, about 8 GB each while they run. --keep leaves them there.
set -euo pipefail

project=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
mirror=${MIRROR:-http://deb.debian.org/debian}
security=${SECURITY_MIRROR:-http://deb.debian.org/debian-security}
keep=false
goals=(images test)

say() { printf '[%5d s] %s\n' "$SECONDS" "$*" >&2; }

die() {
    echo "fresh_roots.sh: $*" >&2
    exit 1
}

# make_root SUITE FOLDER
make_root() {
    local options=()
    # A machine whose mirror stands still has told its apt so.
    if apt-config dump Acquire::Check-Valid-Until | grep -q '"false"'; then
        options+=(--aptopt='Acquire::Check-Valid-Until "false"')
    fi
    mmdebstrap --quiet --variant=minbase --include=git,make,ca-certificates "${options[@]}" "$1" "$2" \
        "deb $mirror $1 main" "deb $mirror $1-updates main" "deb $security $1-security main"
    [ -z "$(find "$2"/{usr/,}local/bin "$2/opt" -name 'python*' 2>/dev/null)" ] || die "the root has a Python of its own"
}

# What a value of pip's settings names on this machine: certificates, folders, file:// indexes.
paths_in() {
    local word
    for word in $1; do
        case $word in
            file:///*) word=$(dirname "${word#file://}") ;; # the pages of an index point to files beside it
            /etc/ssl/*) continue ;;                         # handed in as a copy
        esac
        if [[ $word == /* && $word != / && -e $word ]]; then
            echo "$word"
        fi
    done
}

# hand_in ROOT: resolver, certificates and pip's settings; prints what has to be bound into the root
hand_in() {
    local root=$1 python=$project/.venv/bin/python key value
    [ -x "$python" ] || python=python3
    cp --dereference --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    echo "[global]" >"$root/etc/pip.conf"
    while IFS='=' read -r key value; do
        value=${value#[\'\"]}
        value=${value%[\'\"]}
        value=${value//\\n/ }
        case $key in
            global.* | user.* | site.*) echo "${key#*.} = $value" >>"$root/etc/pip.conf" ;;
        esac
        paths_in "$value"
    done < <("$python" -m pip config list 2>/dev/null)
}

# inside ROOT GOAL...: runs in the new namespaces, whose mounts end with them
inside() {
    local root=$1 path environment=()
    shift
    mount --bind "$root" "$root" # as on a machine, where / is a mount point; some tests change its propagation
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    while read -r path; do
        if [ -d "$path" ]; then
            mkdir -p "$root$path"
        else
            mkdir -p "$root${path%/*}"
            touch "$root$path"
        fi
        mount --bind -o ro "$path" "$root$path"
    done <"$root.binds"
    while read -r name; do
        environment+=("$name=${!name}")
    done < <(compgen -e | grep -iE '^(PIP_.*|https?_proxy|no_proxy|TARGETS)$' | grep -v '^PIP_CONFIG_FILE$')
    # Not chroot: who lives in one may make no user namespaces, which sbuild's chroots are.
    cd "$root"
    mkdir .old
    pivot_root . .old
    # This bash is a file of the old root; the one that comes after it is not, and takes the old root away.
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LC_ALL=C.UTF-8 CI=1 "${environment[@]}" bash -euo pipefail -c "$(declare -f say in_the_root); in_the_root \"\$@\"" \
        in_the_root "$@"
}

# in_the_root GOAL...: what the newcomer types, and a look at what it leaves behind
in_the_root() {
    local goal before after
    umount --recursive /.old
    rmdir /.old
    cd /srv/image-builder
    before=$(cut -d' ' -f5 /proc/self/mountinfo | sort)
    for goal; do
        SECONDS=0
        make "$goal"
        say "make $goal"
        if [ "$goal" = images ]; then
            ls -l builds/latest/
            SECONDS=0
            make images 2>&1 | tee /tmp/second >&2
            say "make images, the second time"
            grep -q 'nothing to do' /tmp/second || { echo "the second 'make images' did something" >&2; return 1; }
        fi
    done
    after=$(cut -d' ' -f5 /proc/self/mountinfo | sort)
    [ "$before" = "$after" ] || { diff <(echo "$before") <(echo "$after"); echo "mounts are left" >&2; return 1; }
    # PID 1 is this shell; whatever else lives was started by make.
    for process in /proc/[2-9]* /proc/1?*; do
        [ -n "$(tr -d '\0' 2>/dev/null <"$process/cmdline")" ] || continue
        echo "a process is left: $(tr '\0' ' ' <"$process/cmdline")" >&2
        return 1
    done
    [ -z "$(git status --porcelain)" ] || { git status --short; echo "the clone is not clean any more" >&2; return 1; }
}

# one SUITE WORK: all of it for one release
one() {
    local root=$2/$1
    say "$1: making the root"
    make_root "$1" "$root"
    hand_in "$root" | sort -u >"$root.binds"
    git clone --quiet --no-hardlinks "$project" "$root/srv/image-builder"
    say "$1: $(git -C "$root/srv/image-builder" log -1 --format='%h %s')"
    # From /, which becomes the new root's, for unshare too: who stays in a folder of the old one keeps it in use.
    (
        cd /
        exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private \
            bash "$project/tests/full/fresh_roots.sh" --inside "$root" "${goals[@]}"
    )
    say "$1: passed"
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
fi
suites=()
while [ $# -gt 0 ]; do
    case $1 in
        --keep) keep=true ;;
        --only)
            [ $# -ge 2 ] || die "--only GOAL: images, test or lint"
            goals=("$2")
            shift
            ;;
        -*) die "no such option: $1" ;;
        *) suites+=("$1") ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || die "needs root: it makes roots and namespaces"
work=$(mktemp -d --tmpdir="${TMPDIR:-/var/tmp}" fresh-roots.XXXXXX)
# Mounts were made in namespaces that are gone; --one-file-system in case one is not.
$keep || trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
for suite in "${suites[@]}"; do
    one "$suite" "$work"
done
