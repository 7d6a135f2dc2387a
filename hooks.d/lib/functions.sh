# shellcheck shell=bash
# The functions that hooks of livecd-rootfs use most, under the names they have there. docs/from-livecd-rootfs.md says of
# each one what is the same and what is not. No loop device, no device mapper: the root of a disk image is taken out for
# work and put back as a new file system in the same place, so nothing is left behind that another build could see.
#
# Needs:  in a .binary hook lib/common.sh, and lib/disk.sh for disk images; python3, e2fsprogs, mtools, partx, qemu-img.
#         In a .chroot hook neither: `. /live-build/config/hooks.d/lib/functions.sh`, and functions that take a ROOT get /
# Reads:  IMAGE_SIZE (bytes), FS_LABEL, SOURCE_DATE_EPOCH
# Offers: create_empty_disk_image, create_derivative, mount_disk_image, umount_disk_image, setup_mountpoint,
#         teardown_mountpoint, create_manifest, convert_to_qcow2, create_vmdk, divert_grub, undivert_grub,
#         replace_grub_root_with_label, purge_packages, remember_packages, purge_packages_since

functions_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
imagesize=${IMAGE_SIZE:-2361393152}
disk_image= # the one in work
fs_label=${FS_LABEL:-root} # what lib/disk.sh calls the root's file system

if ! command -v die >/dev/null; then # as in lib/common.sh, which a .chroot hook does not have
    say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
    die() {
        say "error: $*"
        exit 1
    }
fi

## Disk images

# create_empty_disk_image FILE: an empty sparse file of $imagesize bytes
create_empty_disk_image() { truncate --size=0 "$1" && truncate --size="$imagesize" "$1"; }

# create_derivative KIND NAME: a copy of the raw disk image to change; KIND `uefi` takes the one for UEFI alone, anything
# else the one for both. Sets and exports $derivative_img, disk-NAME.img: no name that is handed out, so convert it, then
# remove it.
create_derivative() {
    local from
    if [ "$1" = uefi ]; then from=$(artefact uefi.img); else from=$(artefact img); fi
    [ -s "$from" ] || die "no $from to copy; a disk image's hook has to run before"
    derivative_img=disk-$2.img
    cp --sparse=always --reflink=auto "$from" "$derivative_img"
    export derivative_img
}

# mount_disk_image IMAGE DIR [PARTITION]: what is in the ext4 of that partition (default 1) as the folder DIR, which has to
# be empty; that of partition 15, the EFI system partition, in DIR/boot/efi, if both are there. Then setup_mountpoint and
# a policy-rc.d that starts no daemon. One image at a time. IMAGE itself stays as it is until umount_disk_image.
mount_disk_image() {
    local image=$1 dir=$2 part=${3:-1}
    [ -z "$disk_image" ] || die "$disk_image is in work; umount_disk_image comes first"
    [ -z "$(ls -A "$dir")" ] || die "$dir is not empty"
    place_of "$image" "$part" || die "$image has no partition $part"
    root_start=$start root_sectors=$sectors
    root_uuid=$(root_field 104 16 | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/') # of the superblock
    [ "$(root_field 56 2)" = 53ef ] || die "partition $part of $image holds no ext4"
    root_name=$(dd if="$image" bs=1 skip=$((root_start * 512 + 1024 + 120)) count=16 status=none | tr -d '\000')
    python3 "$functions_dir/unpack-ext4" "$image" $((root_start * 512)) "$dir"

    esp_start=
    if place_of "$image" 15 && [ -d "$dir/boot/efi" ]; then
        esp_start=$start esp_sectors=$sectors
        esp_id=$(od -A n -t x4 -j $((start * 512 + 67)) -N 4 "$image" | tr -d ' ' | sed -E 's/(.{4})(.{4})/\1-\2/' | tr a-f A-F)
        # -Q -n -m: no questions, keep times
        MTOOLS_SKIP_CHECK=1 mcopy -s -Q -n -m -i "$image@@$((start * 512))" ::/ "$dir/boot/efi/"
    fi
    disk_image=$image
    setup_mountpoint "$dir"
    printf '#!/bin/sh\necho "no daemon is started in an image" >&2\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
    chmod 0755 "$dir/usr/sbin/policy-rc.d"
}

# place_of IMAGE PARTITION: sets $start and $sectors, of 512 bytes
place_of() {
    local line
    line=$(partx --show --noheadings --nr "$2" --output START,SECTORS "$1" 2>/dev/null) && [ -n "$line" ] || return 1
    read -r start sectors <<<"$line"
}

# root_field OFFSET BYTES: a field of the root's superblock, as hexadecimal digits
root_field() { od -A n -v -t x1 -j $((root_start * 512 + 1024 + $1)) -N "$2" "$image" | tr -d ' \n'; }

# umount_disk_image DIR: gives the root back. The partition gets a new ext4 with what is in DIR, of the same size, label and
# UUID; the EFI system partition a new FAT with what is in DIR/boot/efi, of the same id. DIR is an empty folder afterwards.
# IMAGE is replaced in one go: a hook that fails on the way leaves the old one.
umount_disk_image() {
    local dir=$1 new=$disk_image.new
    [ -n "$disk_image" ] || die "no disk image is in work; mount_disk_image comes first"
    rm -f "$dir/usr/sbin/policy-rc.d"
    teardown_mountpoint "$dir"
    if [ -n "$esp_start" ]; then
        rm -rf "$disk_image.esp.tree"
        mkdir "$disk_image.esp.tree"
        find "$dir/boot/efi" -mindepth 1 -maxdepth 1 -exec mv -t "$disk_image.esp.tree" {} +
    fi

    # mke2fs expects zeros where it writes: all but the root is copied, the EFI system partition not either if it is new.
    rm -f "$new"
    truncate --size="$(stat -c %s "$disk_image")" "$new"
    copy_around "$disk_image" "$new" "$root_start $root_sectors" ${esp_start:+"$esp_start $esp_sectors"}
    export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
    write_root "$new" "$dir" "$root_start" $((root_sectors / 2048)) "$root_uuid"
    if [ "$root_name" != root ]; then
        debugfs -w -R "set_super_value volume_name \"$root_name\"" "$(readlink -f "$new")?offset=$((root_start * 512))" 2>/dev/null
    fi
    if [ -n "$esp_start" ]; then
        write_esp "$new" "$disk_image.esp.tree" "$esp_start" "$esp_sectors" "$esp_id"
        rm -r "$disk_image.esp.tree"
    fi
    mv "$new" "$disk_image"
    disk_image=
    find "$dir" -mindepth 1 -delete
}

# copy_around FROM TO "START SECTORS"...: the bytes outside of these places
copy_around() {
    local from=$1 to=$2 at=0 start sectors
    shift 2
    while read -r start sectors; do
        [ "$start" -le "$at" ] || copy_sectors "$from" "$to" "$at" $((start - at))
        at=$((start + sectors))
    done < <(printf '%s\n' "$@" | sort -n)
    copy_sectors "$from" "$to" "$at" $(($(stat -c %s "$from") / 512 - at))
}

# copy_sectors FROM TO START SECTORS: to the same place; holes stay holes
copy_sectors() {
    dd if="$1" of="$2" bs=1M iflag=skip_bytes,count_bytes,fullblock oflag=seek_bytes conv=notrunc,sparse status=none \
        skip=$(($3 * 512)) seek=$(($3 * 512)) count=$(($4 * 512))
}

# setup_mountpoint DIR: a root to run programs in (`chroot DIR …`): /dev, /dev/pts, /proc, /sys, and empty /tmp,
# /var/lib/apt/lists and /var/cache/apt in memory. There is no network beside a finished root, so resolv.conf and apt's
# sources stay as they are and no list is fetched.
setup_mountpoint() {
    local dir=$1 empty
    mount --bind /dev "$dir/dev"
    mount --bind /dev/pts "$dir/dev/pts"
    mount -t proc proc "$dir/proc"
    mount -t sysfs -o ro sysfs "$dir/sys"
    for empty in tmp var/lib/apt/lists var/cache/apt; do
        mkdir -p "$dir/$empty"
        mount -t tmpfs tmpfs "$dir/$empty"
    done
}

# teardown_mountpoint DIR: everything mounted below it goes, the deepest first; what cannot go is an error
teardown_mountpoint() {
    local dir point
    dir=$(realpath "$1")
    while read -r point; do
        umount "$(printf '%b' "$point")" # /proc writes a blank as \040
    done < <(awk -v below="$dir/" '{ path = $2; gsub(/\\040/, " ", path) } index(path, below) == 1 { print $2 }' /proc/self/mounts |
        LC_ALL=C sort -r)
}

## Manifests and conversions

# create_manifest ROOT FILE: packages with versions, sorted; then `snap:NAME<tab>CHANNEL<tab>REVISION` for each seeded snap.
# If FILE ends in .manifest, the names of all files go to FILE with .filelist in its place.
create_manifest() {
    local root=$1 file=$2 seed=$1/var/lib/snapd/seed/seed.yaml
    # shellcheck disable=SC2016 # dpkg-query's own fields
    dpkg-query --admindir="$root/var/lib/dpkg" --show | LC_ALL=C sort >"$file"
    if [ -f "$seed" ]; then
        awk '
            function put() { if (name) { sub(/.*_/, "", at); sub(/\.snap$/, "", at); printf "snap:%s\t%s\t%s\n", name, channel, at } }
            /^ *- *$/ || /^ *- +[a-z]/ { put(); name = channel = at = ""; sub(/-/, " ") }
            $1 == "name:" { name = $2 } $1 == "channel:" { channel = $2 } $1 == "file:" { at = $2 }
            END { put() }' "$seed" >>"$file"
    fi
    case $file in
        *.manifest) (cd "$root" && find . -xdev) | LC_ALL=C sort >"${file%.manifest}.filelist" ;;
    esac
}

# convert_to_qcow2 IMAGE FILE: compressed by zlib, so that any QEMU reads it. base/qcow2.binary does better by zstd.
convert_to_qcow2() { qemu-img convert -f raw -O qcow2 -c -o compression_type=zlib "$1" "$2"; } # -W: other bytes each time

# create_vmdk IMAGE FILE [MIB]: streamOptimized, grown to that many MiB (default 10240) if it is smaller
create_vmdk() {
    local image=$1 out=$2 mib=${3:-10240} grown=$2.grown.img sector count cid
    cp --sparse=always --reflink=auto "$image" "$grown"
    if [ "$(stat -c %s "$grown")" -lt $((mib * 1048576)) ]; then
        truncate --size="${mib}M" "$grown"
        # GPT keeps a copy of itself in the last sectors
        [ "$(dd if="$image" bs=1 skip=512 count=8 status=none | tr -d '\000')" != "EFI PART" ] ||
            sfdisk --quiet --relocate gpt-bak-std "$grown"
    fi
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized,adapter_type=lsilogic,hwversion=13 "$grown" "$out"
    cid=$(sha256sum <"$grown" | cut -c 1-7)
    rm "$grown"
    # As in base/vmdk.binary: qemu-img draws a random content id, one made from the content is put in its place.
    sector=$(od -A n -j 28 -N 8 -t u8 "$out" | tr -d ' ')
    count=$(od -A n -j 36 -N 8 -t u8 "$out" | tr -d ' ')
    dd if="$out" bs=512 skip="$sector" count="$count" status=none | tr -d '\000' | sed "s/^CID=[0-9a-f]*$/CID=1$cid/" >"$out.text"
    grep -q "^CID=1$cid$" "$out.text" || die "no content id in the descriptor that qemu-img wrote"
    truncate --size=$((count * 512)) "$out.text"
    dd if="$out.text" of="$out" bs=512 seek="$sector" conv=notrunc status=none
    rm "$out.text"
}

## GRUB

# divert_grub ROOT: until undivert_grub, update-grub there looks for no other systems on the builder's disks, and believes
# that it runs in no container, in which Debian's and Ubuntu's kernel packages would leave it out.
divert_grub() {
    dpkg-divert --quiet --root="$1" --local --add --divert /etc/grub.d/30_os-prober.dpkg-divert --rename /etc/grub.d/30_os-prober
    dpkg-divert --quiet --root="$1" --local --add --divert /usr/bin/systemd-detect-virt.distrib --rename /usr/bin/systemd-detect-virt
    printf '#!/bin/sh\nexit 1\n' >"$1/usr/bin/systemd-detect-virt"
    chmod 0755 "$1/usr/bin/systemd-detect-virt"
}

# undivert_grub ROOT: the reverse
undivert_grub() {
    rm -f "$1/usr/bin/systemd-detect-virt"
    dpkg-divert --quiet --root="$1" --local --remove --rename /usr/bin/systemd-detect-virt
    dpkg-divert --quiet --root="$1" --local --remove --rename /etc/grub.d/30_os-prober
}

# replace_grub_root_with_label ROOT: the kernel's root= in grub.cfg becomes LABEL=$fs_label; not where booting by partition
# has been asked for
replace_grub_root_with_label() {
    ! grep -qs ^GRUB_FORCE_PARTUUID= "$1/etc/default/grub.d/40-force-partuuid.cfg" || return 0
    sed -i "s,root=[^ ]*,root=LABEL=$fs_label," "$1/boot/grub/grub.cfg"
}

## Packages that are to go away again

# purge_packages ROOT NAME...: away with their settings; a name that is not there is passed over. No network, no apt: what
# another package still needs is an error, and nothing has gone then.
purge_packages() {
    local root=$1 name known=()
    shift
    for name; do
        dpkg-query --admindir="$root/var/lib/dpkg" --show "$name" >/dev/null 2>&1 && known+=("$name")
    done
    [ "${#known[@]}" -gt 0 ] || return 0
    DEBIAN_FRONTEND=noninteractive dpkg --root="$root" --log=/dev/null --purge "${known[@]}"
}

# remember_packages ROOT FILE: which packages are there now
remember_packages() {
    # shellcheck disable=SC2016 # dpkg-query's own fields
    dpkg-query --admindir="$1/var/lib/dpkg" --show --showformat '${db:Status-Abbrev} ${binary:Package}\n' |
        awk '$1 != "un" { print $NF }' | LC_ALL=C sort >"$2"
}

# purge_packages_since ROOT FILE: all that came after remember_packages, with what they brought along
purge_packages_since() {
    local now came
    now=$(mktemp)
    remember_packages "$1" "$now"
    mapfile -t came < <(LC_ALL=C comm -13 "$2" "$now")
    rm -f "$now"
    [ "${#came[@]}" -eq 0 ] || purge_packages "$1" "${came[@]}"
}
