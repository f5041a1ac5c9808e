#!/bin/bash
# peers.sh DIR: the peers that DIR lacks, unpacked (not installed): the newest
# restic that Debian has, as DIR/restic, and the borg of this release, whose
# modules are made for its Python, as DIR/borg.  From the archive that apt is
# set up for, with package lists of its own.  One that cannot be had is named,
# and the others are fetched all the same; then the status is 1.
set -u
mkdir -p "$1/lists/partial" || exit
dir=$(cd "$1" && pwd)
status=0
uri=$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources
	awk '$1 == "deb" {print $2}' /etc/apt/sources.list; } 2>/dev/null |
	grep -v security | head -n 1)
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

apt() {
	timeout 600 apt-get -qq -o "Dir::Etc::sourcelist=$dir/peers.sources" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State::lists=$dir/lists" -o APT::Sandbox::User=root "$@"
}

# unpacked SUITE PACKAGE...: below $dir/new
unpacked() {
	local suite=$1 deb
	shift
	rm -rf "$dir/new" "$dir/deb"
	mkdir -p "$dir/deb"
	cat >"$dir/peers.sources" <<-S
		Types: deb
		URIs: $uri
		Suites: $suite
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	S
	apt update && (cd "$dir/deb" && apt download "$@") || return
	for deb in "$dir"/deb/*.deb; do dpkg -x "$deb" "$dir/new" || return; done
}

fetch_restic() {
	unpacked sid restic && "$dir/new/usr/bin/restic" version >/dev/null &&
		mv "$dir/new/usr/bin/restic" "$dir/restic"
}

# Its modules are compiled once, as an installation would.
fetch_borg() {
	unpacked "$release" borgbackup python3-msgpack python3-packaging \
		python3-pkg-resources libxxhash0 || return
	rm -rf "$dir/borg.d"
	mv "$dir/new" "$dir/borg.d" || return
	/usr/bin/python3 -m compileall -q "$dir/borg.d/usr/lib/python3" >/dev/null
	cat >"$dir/borg.new" <<-S
		#!/bin/sh
		PYTHONPATH='$dir/borg.d/usr/lib/python3/dist-packages'
		LD_LIBRARY_PATH=\$(echo '$dir'/borg.d/usr/lib/*-linux-*)
		export PYTHONPATH LD_LIBRARY_PATH
		exec /usr/bin/python3 '$dir/borg.d/usr/bin/borg' "\$@"
	S
	chmod +x "$dir/borg.new" && "$dir/borg.new" --version >/dev/null &&
		mv "$dir/borg.new" "$dir/borg"
}

missing() {
	echo "bench: $1 could not be had from Debian's archive" >&2
	status=1
}

if [ ! -x "$dir/restic" ]; then fetch_restic || missing restic; fi
if [ ! -x "$dir/borg" ]; then fetch_borg || missing borg; fi
rm -rf "$dir"/{new,deb,lists,peers.sources,borg.new}
exit $status
