#!/bin/sh
# First start under WSL: make the user with number 1000, whom WSL then logs in. WSL calls this until it ends well.
set -u

if getent passwd 1000 >/dev/null; then
    exit 0
fi

echo "Please choose a user name; it need not be your Windows one."
while :; do
    printf 'User name: '
    read -r name || exit 1
    if useradd --create-home --shell /bin/bash --uid 1000 "$name"; then
        break
    fi
    echo "That did not work. A name begins with a letter and has letters, digits, - and _ only."
done
until passwd "$name"; do
    echo "Please try again."
done
for group in adm cdrom sudo dip plugdev; do
    if getent group "$group" >/dev/null; then
        usermod --append --groups "$group" "$name"
    fi
done
