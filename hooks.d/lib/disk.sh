# shellcheck shell=bash
# Parts of a disk image, written to their place in a file without loop devices, mounts or kernel support for anything.
# All places and sizes are in sectors of 512 bytes unless a name says MB (MiB).
#
# Needs:  lib/common.sh; mkfs.vfat, mtools, mke2fs
# Offers: fstab_id, content_mb, write_core, write_esp, write_root

# fstab_id MOUNT_POINT: the UUID that the root's own fstab asks for
fstab_id() {
    local id
    id=$(awk -v point="$1" '$2 == point && sub(/^UUID=/, "", $1) { print $1 }' chroot/etc/fstab)
    [ -n "$id" ] || die "chroot/etc/fstab names no UUID for $1; disk-system.chroot has to run before"
    printf '%s' "$id"
}

# content_mb DIR: MiB that its files take in blocks of 4096 bytes. Not du: the size of a directory depends on the file
# system it lies on, and the image would with it.
content_mb() {
    find "$1" -xdev -printf '%D:%i %y %s\n' | sort -u |
        awk '{ blocks += $2 == "f" ? int(($3 + 4095) / 4096) : $2 == "d" } END { printf "%d", blocks / 256 + 1 }'
}

# little_endian BYTES NUMBER: the number as that many bytes
little_endian() {
    local i number=$2
    for ((i = 0; i < $1; i++)); do
        # shellcheck disable=SC2059 # the octal escape is the format
        printf "\\$(printf '%03o' $((number & 255)))"
        number=$((number >> 8))
    done
}

# patch FILE OFFSET: standard input replaces the bytes from OFFSET on
patch() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# write_core DISK DIR START SIZE: GRUB for BIOS, from DIR/boot.img and DIR/core.img, does by hand what grub-bios-setup does
write_core() {
    local disk=$1 dir=$2 start=$3 size=$4 sectors
    sectors=$((($(stat -c %s "$dir/core.img") + 511) / 512))
    [ "$sectors" -le "$size" ] || die "GRUB's core.img has $sectors sectors, its partition $size"

    dd if="$dir/core.img" of="$disk" bs=512 seek="$start" conv=notrunc status=none
    # The last 12 bytes of its first sector say where the others are: sector (8), how many (2), segment to load to (2).
    { little_endian 8 $((start + 1)) && little_endian 2 $((sectors - 1)) && little_endian 2 $((0x820)); } |
        patch "$disk" $((start * 512 + 500))

    # The first 440 bytes of the disk are code; partition entries follow. At 0x5c the code keeps core.img's place, at
    # 0x66 a jump for floppies, which two no-operations replace.
    dd if="$dir/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
    little_endian 8 "$start" | patch "$disk" $((0x5c))
    printf '\220\220' | patch "$disk" $((0x66))
}

# write_esp DISK DIR START SIZE ID: a FAT32 with what is in DIR; ID is the volume's, as XXXX-XXXX
write_esp() {
    local disk=$1 dir=$2 start=$3 size=$4 id=$5 esp=$1.esp path
    rm -f "$esp"
    truncate --size=$((size * 512)) "$esp"
    # --invariant (fixed times) sets an id of its own as well: the later option wins.
    mkfs.vfat --invariant -F 32 -s 1 -n ESP -i "${id/-/}" "$esp" >/dev/null
    # Names in sorted order and times by SOURCE_DATE_EPOCH: both end up in the directory entries.
    find "$dir" -mindepth 1 -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    while IFS= read -r path; do
        if [ -d "$dir/$path" ]; then
            mmd -i "$esp" "::$path"
        else
            mcopy -m -i "$esp" "$dir/$path" "::$path"
        fi
    done < <(find "$dir" -mindepth 1 -printf '%P\n' | sort)
    dd if="$esp" of="$disk" bs=1M seek=$((start / 2048)) conv=notrunc,sparse status=none
    rm "$esp"
}

# write_root DISK DIR START MB UUID: an ext4 with what is in DIR
# Two features are left out that GRUB of Debian 12 cannot read.
write_root() {
    local disk=$1 dir=$2 start=$3 mb=$4 uuid=$5
    mke2fs -q -t ext4 -L root -U "$uuid" -O '^metadata_csum_seed,^orphan_file' \
        -E "hash_seed=$uuid,root_owner=0:0,offset=$((start * 512)),assume_storage_prezeroed=1" -m 1 \
        -d "$dir" "$disk" "${mb}M"
}
