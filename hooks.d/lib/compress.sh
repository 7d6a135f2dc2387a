# shellcheck shell=bash
# Compressors that write the same bytes on every machine: only speed depends on processors and memory.
#
# Needs:  lib/common.sh; xz, pigz
# Reads:  GZIP_LEVEL
# Offers: xz_stream, gzip_level, gzip_stream

# xz_stream LEVEL: standard input to standard output; LEVEL 0 to 9. xz always runs in its mode for many threads with a
# fixed block size: a single-threaded run gives other bytes, and so would a block size that follows the machine.
xz_stream() {
    local block memory_mb
    case $1 in # what one thread takes: the encoder, and a block of three dictionaries going in and coming out
        [0-3]) block=12MiB memory_mb=80 ;;
        [4-6]) block=24MiB memory_mb=170 ;;
        7) block=48MiB memory_mb=320 ;;
        8) block=96MiB memory_mb=620 ;;
        9) block=192MiB memory_mb=1250 ;;
        *) die "XZ_LEVEL=$1: not a number from 0 to 9" ;;
    esac
    xz --compress --stdout "-$1" --check=crc64 --block-size="$block" --threads="+$(threads_for "$memory_mb")"
}

# gzip_level: what GZIP_LEVEL says, 1 to 9, default 6
gzip_level() {
    case ${GZIP_LEVEL:=6} in
        [1-9]) printf '%s' "$GZIP_LEVEL" ;;
        *) die "GZIP_LEVEL=$GZIP_LEVEL: not a number from 1 to 9" ;;
    esac
}

# gzip_stream LEVEL: standard input to standard output as gzip; LEVEL 1 to 9. Two threads at least: one alone would not
# cut its input into blocks, which gives other bytes.
gzip_stream() {
    local threads
    threads=$(threads_for 16)
    [ "$threads" -ge 2 ] || threads=2
    pigz --no-name --no-time --stdout --processes "$threads" "-$1"
}
