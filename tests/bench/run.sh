#!/bin/bash
# ./dev bench: snapctl beside its peers on the same data, in one run.
# Builds for release, fetches the peers from Debian's archive (unpacked below
# build/, not installed), and hands over to run.py, which says more; or, with
# "subvolume" or "s3" first, to subvolume.sh or s3.py.
set -eu
cd "$(dirname "$0")/../.."
for word; do
	case $word in
	-h | --help) exec /usr/bin/python3 tests/bench/run.py --help ;;
	esac
done
build=build/bench
[ -f "$build/build.ninja" ] ||
	meson setup "$build" -Dbuildtype=release -Dtest_hooks=false >/dev/null
ninja -C "$build" -j "${JOBS:-2}" service/snapctl >/dev/null
# These measure many chunks; a plot is left out when they cannot be built.
ninja -C "$build" -j "${JOBS:-2}" tests/bench/bench_index \
	tests/bench/bench_gc >/dev/null ||
	echo "bench: the programs that make many chunks are not built" >&2
peers=$PWD/build/peers
[ -x "$peers/restic" ] && [ -x "$peers/borg" ] ||
	tests/bench/peers.sh "$peers" ||
	echo "bench: going on without what is missing" >&2
if [ "${1:-}" = s3 ]; then
	shift
	exec /usr/bin/python3 tests/bench/s3.py "$PWD/$build/service/snapctl" \
		"$peers/restic" "$@"
fi
if [ "${1:-}" = subvolume ]; then
	shift
	exec tests/bench/subvolume.sh "$PWD/$build/service/snapctl" \
		"$peers/restic" "$@"
fi
exec /usr/bin/python3 tests/bench/run.py --snapctl "$build/service/snapctl" \
	--peers "$peers" "$@"
