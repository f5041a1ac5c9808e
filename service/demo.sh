#!/bin/bash
# ./dev run: the whole job once, on real data of this machine, in two minutes.
#
# Starts a daemon of its own with its state below build/demo, protects /etc,
# /usr/share/doc and a small site, copies to a second region, restores from
# there to prove it, changes the site and shows what differs, and reports.
# Nothing outside build/demo is written, and the daemon is stopped at the end.
# Only where the checkout lies too deep for a socket is that put elsewhere.
#
# Usage: demo.sh [--keep]     --keep leaves the daemon running, to look around
set -euo pipefail
cd "$(dirname "$0")/.."

keep=''
[ "${1:-}" != --keep ] || keep=yes
programs=$PWD/build/service
demo=$PWD/build/demo
socket=$demo/snapctl.sock
short='' # a folder for the socket, if it needs one of its own
daemon=''
bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

stop() {
	if [ -n "$daemon" ] && kill "$daemon" 2>/dev/null; then
		wait "$daemon" || true
	fi
	daemon=''
	[ -z "$short" ] || rm -rf "$short"
}
finish() {
	status=$?
	[ "$status" = 0 ] || {
		echo "${bold}The demo stopped early.${plain} The daemon's log:"
		tail -n 15 "$demo/daemon.log" 2>/dev/null || true
	}
	if [ -z "$keep" ] || [ "$status" != 0 ]; then stop; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# Show a command as a user would type it, and run it.  Exit status 3 (done,
# with named omissions) is part of the show: without root much of /etc is
# not ours to read.
show() {
	local status=0

	printf '%s$ snapctl %s%s\n' "$dim" "${*//$demo/build/demo}" "$plain"
	"$programs/snapctl" "$@" || status=$?
	[ "$status" = 0 ] || [ "$status" = 3 ] || exit "$status"
}
quietly() { "$programs/snapctl" "$@" >/dev/null; }
bytes() { printf %s "$1" | wc -c; }
# A member of the JSON on standard input: field KEY, or of its first element.
field() {
	python3 -c 'import json, sys
v = json.load(sys.stdin)
v = v[0] if isinstance(v, list) else v
print(v[sys.argv[1]])' "$1"
}

# Wait for the newest run to end; its state.
wait_for_run() {
	local id=$1 state

	for _ in $(seq 3000); do
		state=$("$programs/snapctl" --json run show "$id" | field state)
		case $state in
		queued | running | waiting) sleep 0.2 ;;
		*) echo "$state" && return ;;
		esac
	done
	echo "still running after ten minutes"
}

rm -rf "$demo"
mkdir -p "$demo"/{keys,site/conf.d}
chmod 700 "$demo" "$demo/keys"
if [ "$(bytes "$socket")" -gt 107 ]; then # the most that Linux takes
	short=$(mktemp -d "${TMPDIR:-/tmp}/snapctl-demo-XXXXXX")
	socket=$short/snapctl.sock
fi
cat >"$demo/site/site.conf" <<'S'
listen 8080;
workers 4;
log /var/log/site.log;
S
echo 'max_body 1M;' >"$demo/site/conf.d/limits.conf"
cat >"$demo/instance.yaml" <<S
state: $demo/state
keys: $demo/keys
cache: $demo/cache
socket: $socket
tick: 1s
S
cat >"$demo/plan.yaml" <<S
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  regions:
    - {name: here, url: "file://$demo/here", primary: true}
    - {name: there, url: "file://$demo/there"}
---
apiVersion: snapctl.io/v1
kind: Policy
metadata: {name: standard}
spec:
  retention: {keep-last: 3, keep-daily: 7, keep-weekly: 4, keep-monthly: 12}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: etc, labels: {demo: "yes"}}
spec: {type: files, paths: [/etc], text: true}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: documents, labels: {demo: "yes"}}
spec: {type: files, paths: [/usr/share/doc]}
---
apiVersion: snapctl.io/v1
kind: Source
metadata: {name: site, labels: {demo: "yes"}}
spec: {type: files, paths: [$demo/site], text: true}
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: "30 2 * * *"
  sources: {matchLabels: {demo: "yes"}}
  repository: main
  policy: standard
  replicateTo: [there]
  rpo: 26h
---
apiVersion: snapctl.io/v1
kind: Drill
metadata: {name: weekly}
spec:
  cron: "0 6 * * SUN"
  schedule: nightly
  region: there
  rto: 30m
  checks: [{type: tree}]
S
export SNAPCTL_SOCKET=$socket
export SNAPCTL_ETC=$demo/etc SNAPCTL_KEY_FILE=$demo/keys/main.key

say "1. A repository in one place, and a second region for the day that place is gone"
show repo init "$demo/here" --key-file "$demo/keys/main.key"
show region add there "$demo/there" --repo "$demo/here"

say "2. A daemon, and what it is to protect: /etc, /usr/share/doc and a small site"
"$programs/snapctld" --config "$demo/instance.yaml" >"$demo/daemon.log" 2>&1 &
daemon=$!
for _ in $(seq 600); do
	if [ -S "$socket" ] || ! kill -0 "$daemon" 2>/dev/null; then break; fi
	sleep 0.1
done
show apply -f "$demo/plan.yaml"

say "3. The schedule's run, now instead of at 2:30: snapshot, copy, verify, retain"
quietly run start nightly
run=$("$programs/snapctl" --json run list --schedule nightly | field id)
state=$(wait_for_run "$run")
show run show "$run"
if [ "$state" = partial ] && [ "$(id -u)" != 0 ]; then
	echo "Partial, because parts of /etc are for root only; each is named."
fi

say "4. Is everything protected?"
show status

say "5. Proof: restore from the second region, with the catalog shut away"
show drill run weekly

say "6. The site changes; another run; what is different?"
before=$("$programs/snapctl" --json snapshot list --repo "$demo/here" \
	--source site | field id)
printf 'workers 16;\n' >>"$demo/site/site.conf"
rm "$demo/site/conf.d/limits.conf"
quietly run start nightly
wait_for_run "$("$programs/snapctl" --json run list --schedule nightly |
	field id)" >/dev/null
show snapshot diff "$before" latest --source site --repo "$demo/here"

say "7. What an auditor asks: what is kept, and why"
show report retention

say "That was the whole job. To look around:"
cat <<S
  build/service/snapctl --help                 everything it can do
  service/demo.sh --keep                       the same, leaving the daemon running
  build/service/snapctl restore latest:/etc --source etc --to /tmp/etc \\
      --repo build/demo/there --key-file build/demo/keys/main.key
                                               a restore without daemon or catalog
  man build/service/snapctl.1                  the manual
S
if [ -n "$keep" ]; then
	echo "  export SNAPCTL_SOCKET=$socket; kill $daemon${short:+; rm -r $short} when done"
fi
