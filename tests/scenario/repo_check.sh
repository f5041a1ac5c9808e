#!/bin/bash
# Goal: whoever scripts `repo init|check|stats` and `key add|list|revoke` can
# rely on their exit statuses and their JSON, from an empty place, through
# damage, to a repository that is sound again.
#
#     repo_check.sh SNAPCTL
set -u
snapctl=$(realpath "$1") || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export SNAPCTL_REPO=$dir/repo SNAPCTL_KEY_FILE=$dir/key
failures=0

# expect STATUS WHAT COMMAND…: runs it, keeping its output in out and err.
expect() {
	local want=$1 what=$2 got
	shift 2
	"$@" >out 2>err
	got=$?
	[ "$got" = "$want" ] && return
	echo "FAILED: $what: exit status $got instead of $want"
	cat out err
	failures=$((failures + 1))
}

# holds WHAT EXPRESSION: of the JSON in out, as x.
holds() {
	/usr/bin/python3 -c "
import json, sys
x = json.load(open('out'))
sys.exit(0 if ($2) else 1)" && return
	echo "FAILED: $1: $2"
	cat out
	failures=$((failures + 1))
}

flip() { # FILE OFFSET: one bit, offsets below 0 from the end
	chmod u+w "$1"
	/usr/bin/python3 - "$1" "$2" <<-'END'
		import os, sys
		at = int(sys.argv[2])
		with open(sys.argv[1], "r+b") as f:
		    f.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
		    byte = f.read(1)[0] ^ 1
		    f.seek(-1, os.SEEK_CUR)
		    f.write(bytes([byte]))
	END
}

mkdir tree
for i in 1 2 3; do head -c 400000 /dev/urandom >tree/file$i; done

# From nothing.
expect 5 "check without a repository" "$snapctl" repo check
expect 2 "init without a key" env -u SNAPCTL_KEY_FILE "$snapctl" repo init "$dir/repo"
expect 0 "init" "$snapctl" repo init "$dir/repo" --key-file key --json
holds "init" "len(x['repository']) == 32 and x['key_file_made']"
[ "$(stat -c %a key)" = 600 ] || { echo "FAILED: mode of the key file"; failures=$((failures + 1)); }
expect 1 "init again" "$snapctl" repo init "$dir/repo" --key-file other
[ ! -e other ] || { echo "FAILED: a key was made for nothing"; failures=$((failures + 1)); }
mkdir full && touch full/something
expect 1 "init in a full folder" "$snapctl" repo init "$dir/full" --key-file other
expect 0 "check of nothing" "$snapctl" repo check --json
holds "nothing" "x['sound'] and x['damaged'] == [] and x['snapshots'] == 0"

# Keys.
expect 0 "key add" "$snapctl" key add --new-key-file second --label bob --json
holds "key add" "x['label'] == 'bob' and x['made']"
slot=$(/usr/bin/python3 -c "import json; print(json.load(open('out'))['slot'])")
expect 1 "key add twice" "$snapctl" key add --new-key-file second
expect 0 "key list" "$snapctl" key list --json
holds "key list" "[s['yours'] for s in x] == [True, False]"
expect 0 "the second key opens" "$snapctl" repo stats --key-file second
expect 2 "revoking oneself" "$snapctl" key revoke "$slot" --key-file second
expect 0 "key revoke" "$snapctl" key revoke "${slot:0:8}"
expect 4 "a revoked key" "$snapctl" repo stats --key-file second
expect 5 "revoking nobody" "$snapctl" key revoke 00000000

# Sound.
expect 0 "snapshot" "$snapctl" snapshot create tree
expect 0 "stats" "$snapctl" repo stats --json
holds "stats" "x['snapshots'] == 1 and x['packs'] == 2 and x['logical_bytes'] == 1200000"
expect 0 "check" "$snapctl" repo check
expect 0 "check of all data" "$snapctl" repo check --read-data --json
holds "all data" "x['sound'] and x['level'] == 'data' and x['packs_read'] == 2"
expect 0 "verify" "$snapctl" snapshot verify latest --json
holds "verify" "x['sound'] and x['damaged'] == [] and x['chunks'] > 2 and x['stored_bytes_read'] > 1200000"
expect 5 "verify of none" "$snapctl" snapshot verify 00000000

# Damage of data: found by reading it, given up, stored again.
pack=$(ls repo/data/*/*)
flip "$pack" 1000
expect 0 "structure" "$snapctl" repo check
expect 4 "damaged data" "$snapctl" repo check --read-data --json
holds "damaged data" "not x['sound'] and len(x['damaged']) == 1 and 'repo/' + x['damaged'][0]['object'] == '$pack' and len(x['damaged'][0]['snapshots']) == 1 and x['damaged'][0]['paths'][0].startswith('$dir/tree/file')"
expect 4 "verify of it" "$snapctl" snapshot verify latest --json
holds "verify of it" "not x['sound'] and len(x['damaged']) == 1 and len(x['damaged'][0]['path']) == 64 and 'authentic' in x['damaged'][0]['message']"
meta=$(ls repo/meta/*/*)
cp "$meta" aside && flip "$meta" 100
expect 4 "verify of a damaged tree" "$snapctl" snapshot verify latest --json
holds "verify of a damaged tree" "not x['sound'] and len(x['damaged']) > 0"
cp aside "$meta" && rm aside
expect 4 "a restore of it" "$snapctl" restore latest --to restored
expect 4 "repair" "$snapctl" repo check --read-data --repair --json
holds "repair" "x['repaired']['quarantined'] == 1 and not x['repaired']['sound'] and 'take a snapshot' in x['advice'] and 'another region' in x['advice']"
[ -e "$pack" ] || { echo "FAILED: repair deleted a pack"; failures=$((failures + 1)); }
expect 4 "before the next snapshot" "$snapctl" repo check
expect 0 "the next snapshot" "$snapctl" snapshot create tree
expect 0 "sound again" "$snapctl" repo check --read-data --json
holds "sound again" "x['sound'] and len(x['quarantined']) == 1"
expect 0 "a restore" "$snapctl" restore latest --to restored
diff -r tree "restored$dir/tree" || failures=$((failures + 1))

# Damage of the index: rebuilt from the packs.
for index in repo/index/*; do flip "$index" -5; done
expect 4 "damaged index" "$snapctl" repo check
expect 4 "stats without it" "$snapctl" repo stats --json
holds "stats without it" "x['left_out'] > 0 and x['snapshots'] > 0 and x['stored_bytes'] > 1200000"
grep -q "index/.* is not counted" err || { echo "FAILED: no name of what is damaged"; failures=$((failures + 1)); }
expect 4 "repair of the index" "$snapctl" repo check --repair --json
holds "repair of the index" "x['repaired']['sound'] and x['repaired']['indexed'] > 0"
expect 0 "a sound index" "$snapctl" repo check --read-data
expect 0 "stats of a sound index" "$snapctl" repo stats --json
holds "stats of a sound index" "x['left_out'] == 0"

# A pack that went missing, was given up, and is put back as it was.
packs=$(ls repo/data/*/*)
mkdir aside && cp -a repo/data aside
find repo/data -type f -delete
expect 4 "missing packs" "$snapctl" repo check --repair --json
holds "missing packs" "x['repaired']['quarantined'] > 0 and x['returned'] == 0"
cp -a aside/data repo
expect 4 "put back" "$snapctl" repo check --json
holds "put back" "x['returned'] > 0 and '--repair' in x['advice'] and 'opens again' in x['damaged'][0]['message']"
expect 4 "not looked at" "$snapctl" restore latest --to again
expect 4 "repair again" "$snapctl" repo check --repair --json
holds "repair again" "x['repaired']['sound'] and x['repaired']['salvaged'] > 0"
for pack in $packs; do
	[ -e "$pack" ] || { echo "FAILED: repair deleted $pack"; failures=$((failures + 1)); }
done
expect 0 "brought back" "$snapctl" repo check --read-data --json
holds "brought back" "x['sound'] and x['damaged'] == [] and len(x['quarantined']) > 0"
expect 0 "a restore of it all" "$snapctl" restore latest --to again
diff -r tree "again$dir/tree" || failures=$((failures + 1))

# What another region has of what is lost here, nodes of trees among it, which
# lead to more.
expect 0 "region add" "$snapctl" region add there "$dir/there"
expect 0 "replicate" "$snapctl" replicate --to "$dir/there"
find repo/data repo/meta -type f -delete
expect 2 "--from alone" "$snapctl" repo check --from "$dir/there"
expect 0 "a stranger" "$snapctl" repo init "$dir/strange" --key-file "$SNAPCTL_KEY_FILE"
expect 2 "from a stranger" "$snapctl" repo check --repair --from "$dir/strange"
rounds=0
until "$snapctl" repo check --json >out 2>err; do
	rounds=$((rounds + 1))
	[ $rounds -lt 9 ] || break
	expect 4 "repair from there" "$snapctl" repo check --repair --from "$dir/there" --json
	holds "repair from there" "x['repaired']['fetched'] > 0 and (x['repaired']['sound'] or 'run it again' in x['advice'])"
done
expect 0 "sound by what was there" "$snapctl" repo check --read-data
expect 0 "a restore from here" "$snapctl" restore latest --to fetched
diff -r tree "fetched$dir/tree" || failures=$((failures + 1))

[ "$failures" = 0 ] && echo "all as it should be"
[ "$failures" = 0 ]
