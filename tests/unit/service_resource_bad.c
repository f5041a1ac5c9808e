/*
 * What is wrong with a manifest is said at its place, with what was found and
 * what was expected.  Each row: a file, and all that is said about it.
 */
#include "service/resource.h"

#include "tests/support/check_main.h"

static const struct {
	const char *kind; /* of a manifest whose spec text is; or NULL */
	const char *text, *expected;
} bad[] = {
	{ NULL, "a: b: c\n",
	  "f.yaml:1:5: found what is no YAML: invalid nested block "
	  "mapping on the same line\n" },
	{ NULL, "- 1\n",
	  "f.yaml:1:1: found a list, expected a manifest, which is "
	  "a map\n" },
	{ NULL, "just text\n",
	  "f.yaml:1:1: found the text \"just text\", expected a man"
	  "ifest, which is a map\n" },
	{ NULL, "kind: Policy\n",
	  "f.yaml:1:1: found no \"apiVersion\", expected one\n"
	  "f.yaml:1:1: found no \"metadata\", expected one\n"
	  "f.yaml:1:1: found no \"spec\", expected one\n" },
	{ NULL, "", "f.yaml: found no document, expected at least one\n" },
	{ NULL,
	  "apiVersion: v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x}\n"
	  "spec: {}\n",
	  "f.yaml:1:13: found the text \"v1\", expected snapctl.io/"
	  "v1\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: policy\n"
	  "metadata: {name: x}\n"
	  "spec: {}\n",
	  "f.yaml:2:7: found the kind \"policy\", expected Reposito"
	  "ry, Policy, Source, Schedule or Drill; write it as Polic"
	  "y\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Polizy\n"
	  "metadata: {name: x}\n"
	  "spec: {}\n",
	  "f.yaml:2:7: found the kind \"Polizy\", expected Reposito"
	  "ry, Policy, Source, Schedule or Drill; did you mean \"Po"
	  "licy\"?\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: 7\n"
	  "metadata: {name: x}\n"
	  "spec: {}\n",
	  "f.yaml:2:7: found the number 7, expected text; put it in"
	  " quotes\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: [name]\n"
	  "spec: {}\n",
	  "f.yaml:3:11: found a list, expected a map\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x}\n",
	  "f.yaml:1:1: found no \"spec\", expected one\n" },
	{ "Policy", "", "f.yaml:4:1: found nothing, expected a map\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x}\n"
	  "spec: {}\n"
	  "status: {}\n",
	  "f.yaml:5:1: found the key \"status\", which a manifest d"
	  "oes not have; it has apiVersion, kind, metadata, spec\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: Web_Config}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:18: found the text \"Web_Config\", expected a n"
	  "ame of a-z, 0-9 and - (not first or last), at most 63 lo"
	  "ng\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: 12}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:18: found the number 12, expected text; put it "
	  "in quotes\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: -a}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:18: found the text \"-a\", expected a name of a"
	  "-z, 0-9 and - (not first or last), at most 63 long\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaa}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:18: found the text \"aaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", expected a nam"
	  "e of a-z, 0-9 and - (not first or last), at most 63 long"
	  "\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {nane: x}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:12: found the key \"nane\", which metadata does"
	  " not have; did you mean \"name\"?\n"
	  "f.yaml:3:11: found no \"name\", expected one\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x, labels: [a]}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:29: found a list, expected a map of labels as {"
	  "tier: gold}\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x, labels: {a: 1}}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:33: found the number 1, expected text; put it i"
	  "n quotes\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x, labels: {-a: b}}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:30: found the label \"-a\", expected letters, d"
	  "igits, -, _ and . (not first or last), at most 63\n" },
	{ NULL,
	  "apiVersion: snapctl.io/v1\n"
	  "kind: Policy\n"
	  "metadata: {name: x, labels: {a: \"b c\"}}\n"
	  "spec:\n"
	  "  {}\n",
	  "f.yaml:3:33: found the text \"b c\", expected letters, d"
	  "igits, -, _ and . (not first or last), at most 63\n" },
	{ "Repository", "  keyFile: k\n",
	  "f.yaml:5:3: found no \"regions\", expected one in spec\n" },
	{ "Repository", "  regions: [{name: a, url: /a}]\n",
	  "f.yaml:5:3: found no \"keyFile\", expected one in spec\n" },
	{ "Repository",
	  "  keyFile: ../k\n"
	  "  regions: [{name: a, url: /a}]\n",
	  "f.yaml:5:12: found the text \"../k\", expected a path be"
	  "low the keys folder, without . and ..; write it as \"mai"
	  "n.key\"\n" },
	{ "Repository",
	  "  keyFile: /etc/k\n"
	  "  regions: [{name: a, url: /a}]\n",
	  "f.yaml:5:12: found the text \"/etc/k\", expected a path "
	  "below the keys folder, without . and ..; write it as \"m"
	  "ain.key\"\n" },
	{ "Repository",
	  "  keyFile: a//k\n"
	  "  regions: [{name: a, url: /a}]\n",
	  "f.yaml:5:12: found the text \"a//k\", expected a path be"
	  "low the keys folder, without . and ..; write it as \"mai"
	  "n.key\"\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: []\n",
	  "f.yaml:6:12: found an empty list, expected at least one"
	  "\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: {a: /a}\n",
	  "f.yaml:6:12: found a map, expected a list of maps\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - /srv/a\n",
	  "f.yaml:7:5: found the text \"/srv/a\", expected spec.reg"
	  "ions to be a map\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: A, url: /a}\n",
	  "f.yaml:7:12: found the text \"A\", expected a name of a-"
	  "z, 0-9 and - (not first or last), at most 63 long\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a}\n",
	  "f.yaml:7:5: found no \"url\", expected one in spec.regio"
	  "ns\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, uri: /a}\n",
	  "f.yaml:7:5: found no \"url\", expected one in spec.regio"
	  "ns\n"
	  "f.yaml:7:15: found the key \"uri\", which spec.regions d"
	  "oes not have; did you mean \"url\"?\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: srv/a}\n",
	  "f.yaml:7:20: found the text \"srv/a\", expected an absol"
	  "ute path as file:///srv/backup, without . and .. and // "
	  "and ? and #\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /srv/../a}\n",
	  "f.yaml:7:20: found the text \"/srv/../a\", expected an a"
	  "bsolute path as file:///srv/backup, without . and .. and"
	  " // and ? and #\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: \"file://host/a\"}\n",
	  "f.yaml:7:20: found the text \"file://host/a\", expected "
	  "an absolute path as file:///srv/backup, without . and .."
	  " and // and ? and #\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: \"s3://bucket/a?reigon=eu\"}\n",
	  "f.yaml:7:20: an S3 URL has no parameter \"reigon\";"
	  " did you mean \"region\"?\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: \"https://me:secret@host/a\"}\n",
	  "f.yaml:7:20: found a URL with credentials in it, expecte"
	  "d none in a manifest; give them to the daemon through it"
	  "s environment, the shared credentials file, or a file th"
	  "at credentials=FILE names\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: \"s3://b/p?secret_access_key=hush\"}"
	  "\n",
	  "f.yaml:7:20: found a URL with credentials in it, expecte"
	  "d none in a manifest; give them to the daemon through it"
	  "s environment, the shared credentials file, or a file th"
	  "at credentials=FILE names\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: ftp://x/y}\n",
	  "f.yaml:7:20: found a region of the kind \"ftp\", expecte"
	  "d one that this version knows: file, s3\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a}\n"
	  "  - {name: a, url: /b}\n",
	  "f.yaml:8:12: found the region \"a\" again, expected it o"
	  "nce\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a}\n"
	  "  - {name: b, url: \"file:///a/\"}\n",
	  "f.yaml:8:20: found the place of region \"a\" again, expe"
	  "cted another one\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, primary: true}\n"
	  "  - {name: b, url: /b, primary: true}\n",
	  "f.yaml:8:33: found a second primary region, expected one"
	  "\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, primary: yes}\n",
	  "f.yaml:7:33: found the text \"yes\", expected true or fa"
	  "lse\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, bandwidth: 50M}\n",
	  "f.yaml:7:35: found the text \"50M\", expected spec.regio"
	  "ns.bandwidth to be a map\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, bandwidth: {up: 50X}}\n",
	  "f.yaml:7:40: found the text \"50X\", expected bytes a se"
	  "cond as 500K, 50M or 1G, from 1\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, bandwidth: {up: 0}}\n",
	  "f.yaml:7:40: found the number 0, expected bytes a second"
	  " as 500K, 50M or 1G, from 1\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions:\n"
	  "  - {name: a, url: /a, bandwidth: {upp: 1M}}\n",
	  "f.yaml:7:36: found the key \"upp\", which spec.regions.b"
	  "andwidth does not have; did you mean \"up\"?\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  concurrency: 0\n",
	  "f.yaml:7:16: found the number 0, expected a whole number"
	  " from 1 to 64\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  concurrency: \"2\"\n",
	  "f.yaml:7:16: found the text \"2\", expected a whole numb"
	  "er from 1 to 64\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  concurrency: 2.5\n",
	  "f.yaml:7:16: found the number 2.5, expected a whole numb"
	  "er from 1 to 64\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  verifyEvery: 30\n",
	  "f.yaml:7:16: found the number 30, expected a duration of"
	  " clock time as 1d12h30m (d, h, m = minutes, s); add a un"
	  "it, as 30s\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  verifyEvery: 1m\n",
	  "f.yaml:7:16: found the text \"1m\", expected a duration "
	  "from 1h to 3650d\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  verifyEvery: 1y\n",
	  "f.yaml:7:16: found the text \"1y\", expected a duration "
	  "of clock time as 1d12h30m (d, h, m = minutes, s); years,"
	  " months and weeks stand only in retention; write days\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  verfiyEvery: 30d\n",
	  "f.yaml:7:3: found the key \"verfiyEvery\", which spec do"
	  "es not have; did you mean \"verifyEvery\"?\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  colour: red\n",
	  "f.yaml:7:3: found the key \"colour\", which spec does no"
	  "t have; it has keyFile, regions, failover, concurrency, "
	  "verifyEvery, gc\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  gc: {every: 59m}\n",
	  "f.yaml:7:15: found the text \"59m\", expected a duration from 1h to "
	  "365d, or 0s for never\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  gc: {every: 366d}\n",
	  "f.yaml:7:15: found the text \"366d\", expected a duration from 0s to "
	  "365d\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  gc: {rewrite: much}\n",
	  "f.yaml:7:17: found the text \"much\", expected bytes as 0, 500M, 4G "
	  "or 1T\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  gc: 1d\n",
	  "f.yaml:7:7: found the text \"1d\", expected spec.gc to be a map\n" },
	{ "Repository",
	  "  keyFile: k\n"
	  "  regions: [{name: a, url: /a}]\n"
	  "  gc: {suspend: true}\n",
	  "f.yaml:7:8: found the key \"suspend\", which spec.gc does not have; "
	  "it has every, rewrite\n" },
	{ "Policy", "  timeZone: [UTC]\n",
	  "f.yaml:5:13: found a list, expected text\n" },
	{ "Policy", "  retention: 7\n",
	  "f.yaml:5:14: found the number 7, expected a map of rules"
	  " as {keep-daily: 7}\n" },
	{ "Policy", "  retention: {keep-dayly: 7}\n",
	  "f.yaml:5:15: found the key \"keep-dayly\", which spec.re"
	  "tention does not have; did you mean \"keep-daily\"?\n" },
	{ "Policy", "  retention: {keep-daily: seven}\n",
	  "f.yaml:5:27: found the text \"seven\", expected a whole "
	  "number from 0, or -1 for all\n" },
	{ "Policy", "  retention: {keep-daily: -2}\n",
	  "f.yaml:5:27: found the number -2, expected a whole numbe"
	  "r from 0, or -1 for all\n" },
	{ "Policy", "  retention: {keep-within: 30m5s}\n",
	  "f.yaml:5:28: found the text \"30m5s\", expected a durati"
	  "on of calendar time as 1y2m3d (y, m = months, w, d, h); "
	  "minutes and seconds do not stand in retention\n" },
	{ "Policy", "  retention: {keep-within: 7}\n",
	  "f.yaml:5:28: found the number 7, expected a duration of "
	  "calendar time as 1y2m3d (y, m = months, w, d, h)\n" },
	{ "Policy", "  retention: {keep-within-daily: 5d3y}\n",
	  "f.yaml:5:34: found the text \"5d3y\", expected a duratio"
	  "n of calendar time as 1y2m3d (y, m = months, w, d, h)\n" },
	{ "Policy", "  retention: {keep-tags: gold}\n",
	  "f.yaml:5:26: found the text \"gold\", expected a list of"
	  " tags\n" },
	{ "Policy", "  retention: {keep-tags: [a=1, \"=x\"]}\n",
	  "f.yaml:5:32: found the text \"=x\", expected a tag as KEY=VALUE, "
	  "or KEY alone\n" },
	{ "Policy", "  retention: {keep-daily: 7, keep-daily: 8}\n",
	  "f.yaml:5:30: found the key \"keep-daily\" again, expecte"
	  "d it once; it stands in line 5 already\n" },
	{ "Policy", "  floor: {snapshots: 3}\n",
	  "f.yaml:5:10: found no \"verifiedWithin\", expected one i"
	  "n spec.floor\n" },
	{ "Policy", "  floor: {snapshots: 3, verifiedWithin: 2w}\n",
	  "f.yaml:5:41: found the text \"2w\", expected a duration "
	  "of clock time as 1d12h30m (d, h, m = minutes, s); years,"
	  " months and weeks stand only in retention; write days\n" },
	{ "Policy", "  floor: {snapshots: 0, verifiedWithin: 2d}\n",
	  "f.yaml:5:22: found the number 0, expected a whole number"
	  " from 1 to 1000000\n" },
	{ "Policy", "  lock: 0s\n",
	  "f.yaml:5:9: found the text \"0s\", expected a duration f"
	  "rom 1s to 3660d\n" },
	{ "Policy", "  lock: 1y\n",
	  "f.yaml:5:9: found the text \"1y\", expected a duration o"
	  "f clock time as 1d12h30m (d, h, m = minutes, s); years, "
	  "months and weeks stand only in retention; write days\n" },
	{ "Policy", "  lock: soon\n",
	  "f.yaml:5:9: found the text \"soon\", expected a duration"
	  " of clock time as 1d12h30m (d, h, m = minutes, s)\n" },
	{ "Source", "  type: files\n",
	  "f.yaml:5:3: found no path, expected at least one in spec"
	  ".paths\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: []\n",
	  "f.yaml:6:10: found no path, expected at least one in spe"
	  "c.paths\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [etc]\n",
	  "f.yaml:6:11: found the text \"etc\", expected an absolut"
	  "e path, without . and .. and //\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a/../b]\n",
	  "f.yaml:6:11: found the text \"/a/../b\", expected an abs"
	  "olute path, without . and .. and //\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: /etc\n",
	  "f.yaml:6:10: found the text \"/etc\", expected a list of"
	  " texts\n" },
	{ "Source",
	  "  type: tape\n"
	  "  paths: [/a]\n",
	  "f.yaml:5:9: found the source type \"tape\", expected one"
	  " that this version knows: files, command, block, btrfs, "
	  "volume\n" },
	{ "Source",
	  "  type: btrfs\n"
	  "  paths: [/a, /b]\n"
	  "  file: x\n",
	  "f.yaml:6:10: found 2 paths, expected the one subvolume\n"
	  "f.yaml:7:3: found \"file\", expected it only in a source "
	  "of type command or block or volume\n" },
	{ "Source",
	  "  type: volume\n"
	  "  paths: [/a]\n"
	  "  content: tape\n"
	  "  create: [lvcreate]\n"
	  "  locate: []\n",
	  "f.yaml:7:12: found the text \"tape\", expected files or bl"
	  "ock\n"
	  "f.yaml:8:12: found the text \"lvcreate\", expected the ab"
	  "solute path of a program\n"
	  "f.yaml:9:11: found no program, expected one in spec.loca"
	  "te\n"
	  "f.yaml:5:3: found no program, expected one in spec.remov"
	  "e\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  create: [/x]\n",
	  "f.yaml:7:3: found \"create\", expected it only in a sourc"
	  "e of type volume\n" },
	{ "Source",
	  "  type: file\n"
	  "  paths: [/a]\n",
	  "f.yaml:5:9: found the source type \"file\", expected one"
	  " that this version knows: files, command, block, btrfs, "
	  "volume\n" },
	{ "Source", "  type: command\n",
	  "f.yaml:5:3: found no program, expected at least one in s"
	  "pec.argv\n" },
	{ "Source",
	  "  type: command\n"
	  "  argv: []\n",
	  "f.yaml:6:9: found no program, expected at least one in s"
	  "pec.argv\n" },
	{ "Source",
	  "  type: command\n"
	  "  argv: [pg_dump]\n"
	  "  file: a/b\n"
	  "  environment: [PGHOST, \"1A=b\", A_1=]\n"
	  "  timeout: 0s\n"
	  "  minSize: -1\n",
	  "f.yaml:7:9: found the text \"a/b\", expected the name of "
	  "a file, without \"/\"\n"
	  "f.yaml:8:17: found the text \"PGHOST\", expected KEY=VALU"
	  "E\n"
	  "f.yaml:8:25: found the text \"1A=b\", expected KEY=VALUE\n"
	  "f.yaml:9:12: found the text \"0s\", expected a duration "
	  "from 1s to 31d\n"
	  "f.yaml:10:12: found the number -1, expected bytes as 0, "
	  "500M, 4G or 1T\n"
	  "f.yaml:6:10: found the text \"pg_dump\", expected the a"
	  "bsolute path of a program\n" },
	{ "Source",
	  "  type: command\n"
	  "  argv: [/bin/true]\n"
	  "  paths: [/a]\n"
	  "  exclude: [b]\n",
	  "f.yaml:7:3: found \"paths\", expected it only in a source"
	  " of type files or block or btrfs or volume\n"
	  "f.yaml:8:3: found \"exclude\", expected it only in a sour"
	  "ce of type files or btrfs or volume\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  argv: [/bin/true]\n"
	  "  user: root\n",
	  "f.yaml:7:3: found \"argv\", expected it only in a source "
	  "of type command\n"
	  "f.yaml:8:3: found \"user\", expected it only in a source "
	  "of type command\n" },
	{ "Source",
	  "  type: block\n"
	  "  paths: [/dev/sda, /dev/sdb]\n"
	  "  text: true\n",
	  "f.yaml:6:10: found 2 paths, expected the one device or i"
	  "mage\n"
	  "f.yaml:7:3: found \"text\", expected it only in a source "
	  "of type files or btrfs or volume\n" },
	{ "Source", "  paths: [/a]\n",
	  "f.yaml:5:3: found no \"type\", expected one in spec\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  exclude: [\"\"]\n",
	  "f.yaml:7:13: found the text \"\", expected a text that i"
	  "s not empty\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  exclude: [\"*.swp\", \"a[b\"]\n",
	  "f.yaml:7:22: pattern \"a[b\" has no closing ]\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  text: \"yes\"\n",
	  "f.yaml:7:9: found the text \"yes\", expected true or fal"
	  "se\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [7]\n",
	  "f.yaml:6:11: found the number 7, expected text; put it i"
	  "n quotes\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  hooks:\n"
	  "  - {when: before, argv: [fsfreeze, -f, /srv]}\n"
	  "  - {when: after, argv: []}\n",
	  "f.yaml:9:25: found an empty list, expected at least one"
	  "\n"
	  "f.yaml:8:27: found the text \"fsfreeze\", expected the a"
	  "bsolute path of a program\n" },
	{ "Source",
	  "  type: files\n"
	  "  paths: [/a]\n"
	  "  hooks:\n"
	  "  - {when: during, argv: [true], timeout: 1mo, user: \"a"
	  " b\"}\n",
	  "f.yaml:8:12: found the text \"during\", expected before,"
	  " after or always\n"
	  "f.yaml:8:27: found true, expected text; put it in quotes"
	  "\n"
	  "f.yaml:8:43: found the text \"1mo\", expected a duration"
	  " of clock time as 1d12h30m (d, h, m = minutes, s)\n"
	  "f.yaml:8:54: found the text \"a b\", expected the name o"
	  "f a user\n" },
	{ "Schedule",
	  "  sources: {names: [x]}\n"
	  "  repository: x\n",
	  "f.yaml:5:3: found no \"cron\", expected one in spec\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {}\n"
	  "  repository: x\n",
	  "f.yaml:6:12: found neither, expected either names or mat"
	  "chLabels; write it as {names: [web-config]}\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x], matchLabels: {a: b}}\n"
	  "  repository: x\n",
	  "f.yaml:6:12: found both, expected either names or matchL"
	  "abels; write it as {names: [web-config]}\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: [x]\n"
	  "  repository: x\n",
	  "f.yaml:6:12: found a list, expected spec.sources to be a"
	  " map\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x, x]}\n"
	  "  repository: x\n",
	  "f.yaml:6:24: found \"x\" again, expected it once\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  rpo: 26\n",
	  "f.yaml:8:8: found the number 26, expected a duration of "
	  "clock time as 1d12h30m (d, h, m = minutes, s); add a uni"
	  "t, as 26s\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  rpo: 1mo\n",
	  "f.yaml:8:8: found the text \"1mo\", expected a duration "
	  "of clock time as 1d12h30m (d, h, m = minutes, s)\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  jitter: 25h\n",
	  "f.yaml:8:11: found the text \"25h\", expected a duration"
	  " from 0s to 1d\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  catchUp: two\n",
	  "f.yaml:8:12: found the text \"two\", expected one, all o"
	  "r none\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  overlap: wait\n",
	  "f.yaml:8:12: found the text \"wait\", expected skip or q"
	  "ueue\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  retries: 101\n",
	  "f.yaml:8:12: found the number 101, expected a whole numb"
	  "er from 0 to 100\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  retries: -1\n",
	  "f.yaml:8:12: found the number -1, expected a whole numbe"
	  "r from 0 to 100\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  blackout: [{cron: \"0 8 * * *\"}]\n",
	  "f.yaml:8:14: found no \"for\", expected one in spec.blac"
	  "kout\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  suspend: 1\n",
	  "f.yaml:8:12: found the number 1, expected true or false"
	  "\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  replicateTo: us-east\n",
	  "f.yaml:8:16: found the text \"us-east\", expected a list"
	  " of texts\n" },
	{ "Schedule",
	  "  cron: \"@daily\"\n"
	  "  sources: {names: [x]}\n"
	  "  repository: x\n"
	  "  policy:\n",
	  "f.yaml:8:3: found nothing, expected text\n" },
	{ "Drill",
	  "  cron: \"@daily\"\n"
	  "  schedule: x\n"
	  "  checks: [{type: sql}]\n",
	  "f.yaml:7:19: found the text \"sql\", expected tree or co"
	  "mmand\n" },
	{ "Drill",
	  "  cron: \"@daily\"\n"
	  "  schedule: x\n"
	  "  checks: [{type: command}]\n",
	  "f.yaml:7:12: found no \"argv\", expected one in a check "
	  "of type command\n" },
	{ "Drill",
	  "  cron: \"@daily\"\n"
	  "  schedule: x\n"
	  "  checks: [{type: command, argv: []}]\n",
	  "f.yaml:7:34: found no program, expected one in argv\n" },
	{ "Drill",
	  "  cron: \"@daily\"\n"
	  "  schedule: x\n"
	  "  checks: [{type: tree, argv: [x]}]\n",
	  "f.yaml:7:25: found \"argv\", expected it only in a check"
	  " of type command\n" },
	{ "Drill",
	  "  cron: \"@daily\"\n"
	  "  schedule: x\n"
	  "  rto: 0s\n",
	  "f.yaml:7:8: found the text \"0s\", expected a duration f"
	  "rom 1s to 366d\n" },
	{ "Drill", "  cron: \"@daily\"\n",
	  "f.yaml:5:3: found no \"schedule\", expected one in spec"
	  "\n" },
};

START_TEST(each_bad_manifest_is_refused_with_its_reason)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CLEANUP(resource_set_free) struct resource_set *s = NULL;
		CLEANUP(problem_done) struct problem_list problems;
		CLEANUP(buf_done) struct buf out = { 0 };
		CLEANUP(buf_done) struct buf text = { 0 };
		struct err e;

		problem_init(&problems);
		buf_init(&out, 1 << 16);
		buf_init(&text, 1 << 16);
		if (bad[i].kind)
			ck_ok(buf_addf(&text, &e,
				       "apiVersion: snapctl.io/v1\nkind: %s\n"
				       "metadata: {name: x}\nspec:\n",
				       bad[i].kind));
		ck_ok(buf_add_str(&text, bad[i].text, &e));
		ck_ok(resource_set_new(&s, &e));
		ck_ok(resource_set_add(s, "f.yaml", buf_str(&text), text.len,
				       &problems, &e));
		ck_ok(problem_format(&problems, &out, &e));
		ck_assert_str_eq(buf_str(&out), bad[i].expected);
		ck_assert_uint_eq(resource_set_count(s), 0);
		ck_assert_int_eq(problem_err(&problems, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
	}
}
END_TEST

/* Their reasons are the parsers' own; the place is ours. */
START_TEST(bad_timetables_and_zones_are_refused_at_their_place)
{
	static const struct {
		const char *spec;
		unsigned int line, column;
	} cases[] = {
		{ "{cron: '61 * * * *', repository: r, sources: {names: [s]}}",
		  4, 14 },
		{ "{cron: '0 0 31 2 *', repository: r, sources: {names: [s]}}",
		  4, 14 },
		{ "{cron: '@never', repository: r, sources: {names: [s]}}", 4,
		  14 },
		{ "\n  cron: '@daily'\n  repository: r\n"
		  "  sources: {names: [s]}\n  timeZone: Europe/Berln\n",
		  8, 13 },
		{ "\n  cron: '@daily'\n  repository: r\n"
		  "  sources: {names: [s]}\n"
		  "  blackout: [{cron: '* * *', for: 1h}]\n",
		  8, 21 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		CLEANUP(resource_set_free) struct resource_set *s = NULL;
		CLEANUP(problem_done) struct problem_list problems;
		CLEANUP(buf_done) struct buf text = { 0 };
		struct err e;

		problem_init(&problems);
		buf_init(&text, 4096);
		ck_ok(buf_addf(&text, &e,
			       "apiVersion: snapctl.io/v1\nkind: Schedule\n"
			       "metadata: {name: x}\nspec: %s",
			       cases[i].spec));
		ck_ok(resource_set_new(&s, &e));
		ck_ok(resource_set_add(s, "f.yaml", buf_str(&text), text.len,
				       &problems, &e));
		ck_assert_uint_eq(problems.errors, 1);
		ck_assert_uint_eq(problems.items[0].line, cases[i].line);
		ck_assert_uint_eq(problems.items[0].column, cases[i].column);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, each_bad_manifest_is_refused_with_its_reason);
	tcase_add_test(tc, bad_timetables_and_zones_are_refused_at_their_place);
}

CHECK_MAIN("service/resource: bad manifests", cases)
