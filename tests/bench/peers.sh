#!/bin/bash
# peers.sh DIR: the newest restic that Debian has, as DIR/restic, from the
# archive that apt is set up for, with package lists of its own.
set -eu
dir=$1
mkdir -p "$dir/lists/partial" "$dir/deb"
uri=$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources
	awk '$1 == "deb" {print $2}' /etc/apt/sources.list; } 2>/dev/null |
	grep -v security | head -n 1)
cat >"$dir/sid.sources" <<S
Types: deb
URIs: $uri
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
S
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$dir/sid.sources"
	-o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$dir/lists"
	-o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$dir/deb" && "${apt[@]}" download restic)
dpkg -x "$dir"/deb/restic_*.deb "$dir/deb/x"
cp "$dir/deb/x/usr/bin/restic" "$dir/restic"
rm -rf "$dir/deb" "$dir/lists"
