#!/bin/bash
# ./dev bench subvolume [FOLDERS [FILES]]: what it costs to take a subvolume in
# which little changed, by generations and by a walk, beside find and restic.
#
# On a btrfs of its own, on a loop device; takes root.  Each tool but the first
# reads a new read-only snapshot, as the first takes one for itself: its inodes
# are new to the kernel each time, and what was learnt of the last one is gone.
set -euo pipefail
snapctl=$1 restic=$2 folders=${3:-400} files=${4:-500}

place=$(mktemp -d /var/tmp/snapctl-subvolume-XXXXXX)
end() {
	umount "$place/on" 2>/dev/null || true
	rm -rf "$place"
}
trap end EXIT
cd "$place"
mkdir on
truncate -s 8G image
mkfs.btrfs -q image >/dev/null 2>&1
mount -o loop,noatime image on || {
	echo "subvolume: needs root, a loop device and btrfs" >&2
	exit 1
}
btrfs -q subvolume create on/data
for ((i = 0; i < folders; i++)); do
	mkdir "on/data/d$i"
	for ((k = 0; k < files; k++)); do
		echo "$i $k $i $k $i $k" >"on/data/d$i/f$k"
	done
done
sync
sleep 3 # what is younger is not trusted by its times
echo "cache: $place/cache" >settings
export RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$place/rcache
"$snapctl" -q repo init ./repo --key-file key >/dev/null
[ ! -x "$restic" ] || "$restic" -q init -r rrepo

# timed WHAT COMMAND...
timed() {
	local what=$1
	shift
	TIMEFORMAT="$what: %R s (user %U, system %S)"
	time "$@" >/dev/null
}
# of_new WHAT COMMAND...: the same, with a new snapshot at on/w
of_new() {
	btrfs -q subvolume snapshot -r on/data on/w
	timed "$@"
	btrfs -q subvolume delete on/w >/dev/null
}
all() {
	timed "$1, by generations" "$snapctl" -q snapshot create \
		--config settings --type btrfs "$place/on/data" \
		--repo ./repo --key-file key
	of_new "$1, by a walk" "$snapctl" -q snapshot create "$place/on/w" \
		--repo ./repo --key-file key
	of_new "$1, find -printf" find on/w -printf '%p %s %T@\n'
	[ ! -x "$restic" ] ||
		of_new "$1, restic" "$restic" -q backup -r rrepo on/w
}
all "first"
all "after the first" # our own folder came into the root
for _ in 1 2 3; do all "unchanged"; done
for _ in 1 2 3; do
	for ((i = 0; i < folders; i += 1 + folders / 4)); do
		echo more >>"on/data/d$i/f7"
	done
	sync
	sleep 3
	all "a file changed in each of 4 folders"
done
