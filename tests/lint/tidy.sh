#!/bin/bash
# clang-tidy over the house, one file a call: several at once give false
# reports about va_list.  A file that passed is not read again until it, a
# header it includes, or the rules have changed.
#
# Usage: tidy.sh BUILD_DIR JOBS; or, for one file: tidy.sh --one BUILD_DIR FILE
#
# The analyzer gives a function up after TIDY_NODES states, here a third of its
# own default (225000), which takes less than half the time (of three large
# files: 8.7 s instead of 18.5); `./dev lint --deep` goes all the way.
set -euo pipefail
nodes=${TIDY_NODES:-75000}

one() {
	local build=$1 file=$2 key headers passed

	# What the compiler reads for this file, without the system's headers.
	headers=$(gcc -MM -I. -I"$build" -D_GNU_SOURCE "$file" |
		tr -d '\\\n' | cut -d: -f2)
	# shellcheck disable=SC2086 # a list of our own names
	key=$({ cat "$0" .clang-tidy $headers && echo "$nodes"; } |
		sha256sum | cut -c1-32)
	passed=build/tidy/${file//\//+}.$key
	[ ! -e "$passed" ] || return 0
	if ! timeout 600 clang-tidy -p "$build" --quiet \
		--extra-arg=-Xclang --extra-arg=-analyzer-config \
		--extra-arg=-Xclang --extra-arg=max-nodes="$nodes" "$file" \
		>"$passed.log" 2>/dev/null; then
		# The findings; the paths that lead there stay in the log.
		grep -E ': (error|warning): ' "$passed.log" | sort -u
		mv "$passed.log" "build/tidy/${file//\//+}.log"
		return 1
	fi
	rm -f "$passed.log" "build/tidy/${file//\//+}".????????????????????????????????
	: >"$passed"
}

if [ "$1" = --one ]; then
	one "$2" "$3"
	exit
fi
mkdir -p build/tidy
find base schedules storage migrations service tests/support -name '*.c' |
	sort | xargs -P "$2" -n 1 "$0" --one "$1"
