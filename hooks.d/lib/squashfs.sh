# shellcheck shell=sh
# A root as a squashfs whose bytes depend on the root alone.
#
# Needs:  lib/common.sh; mksquashfs
# Reads:  SQUASHFS_COMP, IMAGE_BUILDER_THREADS, IMAGE_BUILDER_MEMORY_MB
# Offers: make_squashfs

# make_squashfs FILE [ARGUMENT...]: chroot/ as FILE. Arguments go to mksquashfs (`-wildcards -e 'dev/*'`).
make_squashfs() {
    out=$1
    shift
    comp=${SQUASHFS_COMP:-xz}
    case $comp in
        xz | lz4 | gzip) level= ;;
        zstd) level="-Xcompression-level 15" ;;
        *) die "SQUASHFS_COMP=$comp: not known; use xz, zstd, lz4 or gzip" ;;
    esac
    # Besides about 24 MB per thread, mksquashfs fills what -mem grants with blocks on their way.
    memory=${IMAGE_BUILDER_MEMORY_MB:-1024}
    [ "$memory" -le 2048 ] || memory=2048
    [ "$memory" -ge 128 ] || memory=128
    rm -f "$out"
    # mksquashfs takes its own time and the limit for those of the files from SOURCE_DATE_EPOCH.
    # shellcheck disable=SC2086 # $level is two words or none
    mksquashfs chroot "$out" -noappend -no-progress -comp "$comp" $level -b 1M \
        -processors "$(threads_for 64)" -mem "$((memory / 2))M" "$@"
}
