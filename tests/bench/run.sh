#!/bin/bash
# ./dev bench: snapctl beside its peers on the same data, in one run.
# Builds for release, fetches restic from Debian's newest packages (unpacked
# below build/, not installed), and hands over to run.py, which says more.
set -eu
cd "$(dirname "$0")/../.."
build=build/bench
[ -d "$build" ] || meson setup "$build" -Dbuildtype=release -Dtest_hooks=false >/dev/null
ninja -C "$build" service/snapctl >/dev/null
peers=$PWD/build/peers
[ -x "$peers/restic" ] || tests/bench/peers.sh "$peers" ||
	echo "bench: restic could not be had; going on without it" >&2
exec /usr/bin/python3 tests/bench/run.py --snapctl "$build/service/snapctl" \
	--peers "$peers" "$@"
