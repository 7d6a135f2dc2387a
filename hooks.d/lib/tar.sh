# shellcheck shell=sh
# A root as a tar stream whose bytes depend on the root alone: sorted names, numeric owners, times cut at
# SOURCE_DATE_EPOCH, no access times, header names without a process id. File capabilities and ACLs are kept.
#
# Needs:  lib/common.sh
# Offers: tar_root, tar_files

# tar_root ARGUMENT...: writes members of chroot/ to standard output. Arguments go to tar: `.` for the whole root, before it
# `--exclude=./PATH`, after it further members from elsewhere (`-C /DIR ./NAME`).
tar_root() {
    tar --create --format=posix --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \
        --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime \
        --acls --xattrs --xattrs-include='security.capability' --xattrs-include='user.*' \
        --anchored -C chroot "$@"
}

# tar_files DIR NAME...: these files of DIR, in this order, to standard output, in the plain form that every reader of
# archives knows: ustar, owned by root, times set to SOURCE_DATE_EPOCH.
tar_files() {
    dir=$1
    shift
    tar --create --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
        --dereference --no-recursion -C "$dir" "$@"
}
