#!/bin/sh
# Rebuilds a whole suite of Debian on this machine: archive-whole.sh FOLDER [SUITE]
#
# Says first what it will take, and goes on only where there is room for it. Stopped or killed at any moment, the same
# call goes on where it was. IMAGE_BUILDER says which command is used, SLOTS how many builds run at once.
set -eu

folder=${1:?usage: archive-whole.sh FOLDER [SUITE]}
suite=${2:-trixie}
builder=${IMAGE_BUILDER:-image-builder}

say() { echo "archive-whole: $*" >&2; }
end() { say "$*"; exit 1; }

command -v "$builder" >/dev/null || end "$builder is not installed: make setup, then IMAGE_BUILDER=$PWD/.venv/bin/image-builder"
builder=$(command -v "$builder")
case $builder in /*) ;; *) builder=$PWD/$builder ;; esac
[ "$(id -u)" = 0 ] || end "chroots and namespaces need root: run it with sudo"

gib() { awk -v bytes="$1" 'BEGIN { printf "%d", bytes / 1073741824 }'; }
memory=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) * 1024))
by_memory=$((memory / 4294967296))
by_cores=$((($(nproc) + 1) / 2))
slots=${SLOTS:-$((by_memory < by_cores ? by_memory : by_cores))}
[ "$slots" -ge 1 ] || end "a build wants 4 GiB of memory, and $(gib "$memory") GiB are free"

mkdir -p "$folder"
cd "$folder"
if [ ! -e archive.yaml ]; then
	cat >archive.yaml <<END
name: $suite
sources:
  - deb http://deb.debian.org/debian $suite main
  - deb-src http://deb.debian.org/debian $suite main
suite: $suite
store: $PWD/store
schedule: {slots: $slots}
passes:
  - {stage: 0, base: old, packages: base-system}
  - {stage: 1, base: both, packages: all}
toolchain: {build_options: [nocheck]}
END
	say "wrote $PWD/archive.yaml: change it as you like, and call this again"
fi

say "what it takes, with $slots builds at once:"
"$builder" archive simulate --bounds --machines 1 --slots "$slots" --json >forecast.json
number() { sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" forecast.json; }
needs=$(($(number source_bytes) + $(number result_bytes) + $(number build_bytes)))
free=$(($(df --output=avail . | tail -n 1) * 1024 + $(du -s . | cut -f 1) * 1024))
# What was fetched, chroots and logs come on top: a third.
say "  disk: $(gib $((needs * 4 / 3))) GiB; $(gib "$free") GiB are there"
say "  memory: $(gib "$(number memory_bytes)") GiB; $(gib "$memory") GiB are there"
awk -v slots="$slots" '
	/"slots":/ { s = $2 + 0 } /"work_seconds":/ { w = $2 * s }
	/"critical_seconds":/ && $2 + 0 > critical { critical = $2 + 0 }
	END { t = w / slots > critical ? w / slots : critical; printf "archive-whole:   time: %.1f days at least\n", t / 86400 }
' forecast.json >&2
[ "$free" -ge $((needs * 4 / 3)) ] || [ -n "${FORCE:-}" ] || end "not enough room on this disk; FORCE=1 begins all the same"

[ -e plan.txt ] || { "$builder" archive plan >plan.part && mv plan.part plan.txt; }
say "what will be built, and what cannot be: $PWD/plan.txt"

# 1: some packages could not be built, which is an answer; anything else is none.
status=0
"$builder" archive run || status=$?
[ "$status" -le 1 ] || exit "$status"
"$builder" archive status
"$builder" archive publish
