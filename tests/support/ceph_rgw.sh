#!/bin/bash
# A real S3 server on loopback, from Debian's packages: Ceph's object gateway
# over one store in memory.
#
#	ceph_rgw.sh up DIR PORT		make DIR, serve on 127.0.0.1:PORT
#	ceph_rgw.sh down DIR			end what "up DIR" started
#	ceph_rgw.sh have			0 when the programs are there
#
# Several of them, of other folders and ports, serve side by side.  The access
# key is AKIDTEST, its secret secrettest; addresses are of the path's style,
# and any name of a region will do.
# Status: 0 it serves, 1 it could not be started (what each program said is
# shown), 2 misuse, 77 the packages are not there.
#
# No manager (ceph-mgr) runs: the gateway needs its statistics for nothing, and
# it would take more memory than all the others.
set -euo pipefail

programs=(ceph-authtool monmaptool ceph-mon ceph ceph-osd radosgw
	radosgw-admin)
patience=200 # seconds; each step takes one or two

die() {
	printf 'ceph_rgw: %s\n' "$1" >&2
	exit "${2:-1}"
}

usage() {
	die "use: ceph_rgw.sh up DIR PORT | down DIR | have" 2
}

have() {
	local p
	for p in "${programs[@]}"; do
		command -v "$p" >/dev/null || return 1
	done
}

# pid NAME: of a program that is up, or was
pid() {
	cat "$dir/$1.pid" 2>/dev/null
}

# ours PID: it is of this folder, not a stranger who got its number
ours() {
	[ -n "$1" ] && tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null |
		grep -qxF "$dir/ceph.conf"
}

# The gateway first: it waits for the others.
down() {
	local p pid n
	for p in rgw osd mon; do
		pid=$(pid $p) || continue
		ours "$pid" || continue
		kill "$pid" 2>/dev/null || continue
		for ((n = 0; n < 30; n++)); do
			ours "$pid" || continue 2
			sleep 0.1
		done
		# Nothing of it is to be kept.
		kill -9 "$pid" 2>/dev/null || true
		for ((n = 0; n < 600; n++)); do
			ours "$pid" || continue 2
			sleep 0.1
		done
		die "process $pid ($p) does not end"
	done
}

# What the programs wrote, the last of each.
logs() {
	tail -n 8 "$dir"/log/* >&2 2>/dev/null || true
}

# step WHAT COMMAND...: what it says is shown when it fails
step() {
	local what=$1
	shift
	timeout $patience "$@" >"$dir/log/step" 2>&1 && return 0
	logs
	die "$what failed"
}

# started NAME COMMAND...: a program that goes into the background by itself
started() {
	local name=$1
	shift
	step "starting $name" "$@" -c "$dir/ceph.conf" \
		--pid-file "$dir/$name.pid"
}

# The number is free now; whoever takes it first has it.
free_port() {
	local n port
	for ((n = 0; n < 100; n++)); do
		port=$((10000 + RANDOM % 20000))
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
		echo $port
		return
	done
	die "there is no free port"
}

# configuration PORT MONITOR-PORT
configuration() {
	cat <<-CONF
	[global]
	fsid = $(cat /proc/sys/kernel/random/uuid)
	mon host = v2:127.0.0.1:$2
	public addr = 127.0.0.1
	cluster addr = 127.0.0.1
	keyring = $dir/keyring
	run dir = $dir
	admin socket =
	log file = $dir/log/\$name
	mon cluster log file = /dev/null
	crash dir = $dir
	mon data = $dir/mon
	mon data avail crit = 0
	mon data avail warn = 0
	mon allow pool size one = true
	mon warn on pool no redundancy = false
	auth allow insecure global id reclaim = false
	osd data = $dir/osd
	osd objectstore = memstore
	memstore device bytes = 4294967296
	osd fast shutdown = true
	osd crush chooseleaf type = 0
	osd pool default size = 1
	osd pool default min size = 1
	osd pool default pg num = 1
	osd pool default pgp num = 1
	osd pool default pg autoscale mode = off
	paxos propose interval = 0.02
	paxos min wait = 0.01
	mon max pg per osd = 1000
	osd memory target = 939524096
	[client.rgw]
	rgw frontends = beast endpoint=127.0.0.1:$1 tcp_nodelay=1
	rgw data = $dir/rgw
	rgw thread pool size = 64
	rgw enable usage log = false
	rgw run sync thread = false
	CONF
}

keys() {
	local k=("ceph-authtool" "$dir/keyring" --gen-key -n)
	step "a key" ceph-authtool --create-keyring "$dir/keyring" --gen-key \
		-n mon. --cap mon 'allow *'
	step "a key" "${k[@]}" client.admin --cap mon 'allow *' \
		--cap osd 'allow *' --cap mgr 'allow *'
	step "a key" "${k[@]}" osd.0 --cap mon 'allow profile osd' \
		--cap osd 'allow *'
	step "a key" "${k[@]}" client.rgw --cap mon 'allow rw' \
		--cap osd 'allow rwx'
}

# serves PORT: who listens there answers as a gateway does
serves() {
	# shellcheck disable=SC2016 # the inner shell expands it
	timeout 20 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" &&
		printf "GET / HTTP/1.0\r\n\r\n" >&3 &&
		grep -q ListAllMyBucketsResult <&3' - "$1" 2>/dev/null
}

# up PORT
up() {
	local conf=$dir/ceph.conf fsid osd monitor limit tries
	have || die "there is no Ceph (packages ceph-mon ceph-osd radosgw)" 77
	[ ! -e "$dir" ] || die "$dir is there already"
	mkdir -p "$dir"/{mon,osd,rgw,log}
	trap down EXIT # whatever happens before it serves
	monitor=$(free_port)
	configuration "$1" "$monitor" >"$conf"
	export CEPH_CONF=$conf
	fsid=$(sed -n 's/^fsid = //p' "$conf")
	osd=$(cat /proc/sys/kernel/random/uuid)
	keys
	step "the monitors' map" monmaptool --create --fsid "$fsid" \
		--addv a "v2:127.0.0.1:$monitor" "$dir/monmap"
	step "the monitor's store" ceph-mon --mkfs -i a --monmap "$dir/monmap" \
		--keyring "$dir/keyring"
	started mon ceph-mon -i a
	step "the keys of all" ceph auth import -i "$dir/keyring"
	step "the store's folder" ceph-osd -i 0 --mkfs --osd-uuid "$osd"
	step "the store's number" ceph osd new "$osd" 0
	started osd ceph-osd -i 0
	# Makes the zone and its pools, too, which the gateway would do at the
	# same time.
	step "the user" radosgw-admin -n client.rgw user create --uid=snap \
		--display-name=snap --access-key=AKIDTEST --secret-key=secrettest
	started rgw radosgw -n client.rgw
	limit=$((SECONDS + patience))
	tries=3
	until serves "$1"; do
		if [ $SECONDS -ge $limit ] || { ! ours "$(pid rgw)" &&
			((--tries == 0)); }; then
			logs
			die "the gateway does not serve; is port $1 taken?"
		fi
		# It ended: who had the port may be gone.
		if ! ours "$(pid rgw)"; then
			sleep 1
			started rgw radosgw -n client.rgw
		fi
		sleep 0.1
	done
	trap - EXIT
	echo "up on 127.0.0.1:$1"
}

[ $# -ge 1 ] || usage
case $1:$# in
have:1) have ;;
down:2)
	dir=$(readlink -m "$2")
	down
	;;
up:3)
	dir=$(readlink -m "$2")
	up "$3"
	;;
*) usage ;;
esac
