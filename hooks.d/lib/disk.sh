# shellcheck shell=bash
# A disk image, whole or in parts, written to its place in a file without loop devices, mounts or kernel support for
# anything. All places and sizes are in sectors of 512 bytes unless a name says MB (MiB).
#
# Needs:  lib/common.sh; sfdisk, mkfs.vfat, mtools, mke2fs
# Reads:  DISK_SIZE_MB, ARCH
# Offers: make_disk, fstab_id, content_mb, little_endian, big_endian, patch, write_core, write_esp, write_root

# make_disk DISK KIND: chroot/ as a disk with GPT: 15 the EFI system partition, 1 the root, which is the last one so that
# it can grow. KIND `bios` has GRUB for BIOS in partition 14 as well, `uefi` has no such partition.
# The .chroot hooks decided on identifiers, kernel and bootloader; here they are only packed.
make_disk() {
    local disk=$1 kind=$2 root_uuid esp_id kernel used_mb size_mb root_mb root_type
    local mib=2048 core_start=2048 core_size=2048 esp_start=$((2 * 2048)) esp_size=$((62 * 2048)) root_start=$((64 * 2048))
    root_uuid=$(fstab_id /)
    esp_id=$(fstab_id /boot/efi)
    for kernel in chroot/boot/vmlinuz-*; do
        [ -s "chroot/boot/initrd.img-${kernel#*/vmlinuz-}" ] || die "${kernel#chroot} has no initrd beside it"
    done

    used_mb=$(content_mb chroot)
    size_mb=${DISK_SIZE_MB:-$((64 + used_mb * 6 / 5 + 256 + 1))}
    root_mb=$((size_mb - 64 - 1))
    [ "$root_mb" -gt "$((used_mb * 11 / 10 + 16))" ] || die "DISK_SIZE_MB=$size_mb: too small for a root of $used_mb MiB"
    say "root $used_mb MiB, disk $size_mb MiB"

    # Types of partitions by the specification of discoverable partitions
    case $ARCH in
        amd64) root_type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709 ;;
        arm64) root_type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE ;;
    esac
    rm -f "$disk"
    truncate --size="${size_mb}M" "$disk"
    {
        printf '%s\n' "label: gpt" "label-id: $(uuid_of disk "$root_uuid" "$kind")" "sector-size: 512"
        [ "$kind" != bios ] ||
            echo "14 : start=$core_start, size=$core_size, type=21686148-6449-6E6F-744E-656564454649, uuid=$(uuid_of core "$root_uuid"), name=\"bios\""
        echo "15 : start=$esp_start, size=$esp_size, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$(uuid_of esp "$root_uuid"), name=\"esp\""
        echo "1 : start=$root_start, size=$((root_mb * mib)), type=$root_type, uuid=$(uuid_of root "$root_uuid"), name=\"root\""
    } | sfdisk --quiet "$disk"

    if [ "$kind" = bios ]; then
        [ -s chroot/boot/grub/i386-pc/core.img ] || die "the root has no bootloader; disk-system.chroot has to run before"
        write_core "$disk" chroot/boot/grub/i386-pc "$core_start" "$core_size"
    fi
    esp_tree "$disk.tree" "$root_uuid"
    write_esp "$disk" "$disk.tree" "$esp_start" "$esp_size" "$esp_id"
    rm -r "$disk.tree"
    write_root "$disk" chroot "$root_start" "$root_mb" "$root_uuid"
}

# esp_tree DIR ROOT_UUID: what an EFI system partition holds: shim and signed GRUB where firmware looks without being told
esp_tree() {
    local dir=$1 root_uuid=$2 efi signed shim manager grub vendor
    case $ARCH in
        amd64) efi=x64 signed=x86_64-efi-signed ;;
        arm64) efi=aa64 signed=arm64-efi-signed ;;
        *) die "no signed bootloader is known for architecture $ARCH" ;;
    esac
    rm -rf "$dir"
    shim=$(in_root "/usr/lib/shim/shim$efi.efi.signed")
    # Ubuntu signs shim's manager of keys too, and does not say so in its name.
    manager=$(first_of "$(in_root "/usr/lib/shim/mm$efi.efi.signed")" "$(in_root "/usr/lib/shim/mm$efi.efi")")
    grub=$(in_root "/usr/lib/grub/$signed/grub$efi.efi.signed")
    # Signed GRUB looks below the folder of who signed it, wherever it was started from: /EFI/debian, /EFI/ubuntu.
    vendor=$(grep -a -o -m 1 '/EFI/[a-z]\+' "$grub" | head -n 1)
    [ -n "$vendor" ] || die "${grub#chroot} does not say where it looks for its configuration"
    mkdir -p "$dir/EFI/BOOT" "$dir$vendor"
    cp "$shim" "$dir/EFI/BOOT/BOOT${efi^^}.EFI"
    cp "$manager" "$dir/EFI/BOOT/mm$efi.efi"
    cp "$grub" "$dir/EFI/BOOT/grub$efi.efi"
    cat >"$dir$vendor/grub.cfg" <<END
search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub
configfile \$prefix/grub.cfg
END
}

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

# big_endian BYTES NUMBER: the number as that many bytes, the highest first
big_endian() {
    local i
    for ((i = $1 - 1; i >= 0; i--)); do
        # shellcheck disable=SC2059 # the octal escape is the format
        printf "\\$(printf '%03o' $((($2 >> (8 * i)) & 255)))"
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
