# shellcheck shell=sh
# A root as a tar stream whose bytes depend on the root alone: sorted names, numeric owners, times cut at
# SOURCE_DATE_EPOCH, no access times, header names without a process id. File capabilities and ACLs are kept.
#
# Needs:  lib/common.sh
# Offers: tar_root

# tar_root ARGUMENT...: writes members of chroot/ to standard output. Arguments go to tar: `.` for the whole root, before it
# `--exclude=./PATH`, after it further members from elsewhere (`-C /DIR ./NAME`).
tar_root() {
    tar --create --format=posix --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \
        --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime \
        --acls --xattrs --xattrs-include='security.capability' --xattrs-include='user.*' \
        --anchored -C chroot "$@"
}
