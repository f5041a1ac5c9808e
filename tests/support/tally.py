#!/usr/bin/python3
"""Count what `meson test` ran, test case by test case.

    tally.py LABEL TESTLOG.json ALLOWED

A Check program counts as many as its "100%: Checks: 9, Failures: 0, Errors: 0"
lines say, any other program as one.  A case that cannot run here prints
"SKIPPED name: reason".  On CI and for a root who may do all that root can, and
so has everything a test needs, a skip is a failure unless ALLOWED lists
"name: reason".  The root of a container rarely may.

With the label "suites" the label of a test is its suite.

Prints one line for each case: "passed|failed|skipped NAME".  What a failed
program wrote goes to standard error.
"""
import json
import os
import re
import sys

CHECKS = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.M)
SKIPPED = re.compile(r"^SKIPPED ([^:\n]+): (.*)$", re.M)


def allowed_skips(path):
    with open(path, encoding="utf-8") as f:
        return {line.split(":")[0].strip() for line in f
                if line.strip() and not line.startswith("#")}


CAP_SYS_ADMIN = 1 << 21  # mounts, and attributes in trusted.*


def has_every_right():
    """Root of the machine itself, not of a user namespace."""
    with open("/proc/self/status", encoding="utf-8") as f:
        held = re.search(r"^CapEff:\s*(\w+)$", f.read(), re.M)
    with open("/proc/self/uid_map", encoding="utf-8") as f:
        everybody = f.read().split() == ["0", "0", "4294967295"]
    return os.geteuid() == 0 and everybody and \
        int(held.group(1), 16) & CAP_SYS_ADMIN != 0


def tally(entry, allowed, strict):
    """(passed, failed, [skipped names]) of one program."""
    output = entry.get("stdout", "") or ""
    counts = [tuple(map(int, m.groups())) for m in CHECKS.finditer(output)]
    total = sum(c[0] for c in counts)
    failed = sum(c[1] + c[2] for c in counts)
    skips = [m.group(1).strip() for m in SKIPPED.finditer(output)]
    if not counts:
        total = 1
        failed = 0 if entry["result"] in ("OK", "SKIP", "EXPECTEDFAIL") else 1
        if entry["result"] == "SKIP" and not skips:
            skips = [entry["name"].split(" / ")[-1]]
    elif entry["result"] != "OK" and failed == 0:
        # It died after its cases: a leak, a time limit, a sanitizer.
        total += 1
        failed = 1
    refused = [s for s in skips if strict and s not in allowed]
    failed += len(refused)
    for name in refused:
        print(f"{name}: skipped, which CI and root may not", file=sys.stderr)
    return max(0, total - failed - (len(skips) - len(refused))), failed, \
        [s for s in skips if s not in refused]


def entries(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        for line in filter(str.strip, f):
            try:
                yield json.loads(line)
            except ValueError:  # meson was killed while it wrote
                yield {"name": "a result cut short", "result": "ERROR"}


def suite(entry):
    """Of "project:suite / name", the suite."""
    head, slash, _ = entry["name"].rpartition(" / ")
    return head.rpartition(":")[2] if slash else "suites"


def main():
    label, log, allowed_path = sys.argv[1:4]
    allowed = allowed_skips(allowed_path)
    strict = os.environ.get("CI") == "true" or has_every_right()
    any_failed = False
    for entry in entries(log):
        name = f"{suite(entry) if label == 'suites' else label}: " \
            f"{entry['name'].split(' / ')[-1]}"
        passed, failed, skipped = tally(entry, allowed, strict)
        print(f"passed {name}\n" * passed + f"failed {name}\n" * failed, end="")
        for s in skipped:
            print(f"skipped {name}: {s}")
        if failed:
            any_failed = True
            print(f"--- {name} ({entry['result']}, "
                  f"status {entry.get('returncode')})", file=sys.stderr)
            print(entry.get("stdout", "") or "", file=sys.stderr)
            print(entry.get("stderr", "") or "", file=sys.stderr)
    return 1 if any_failed else 0


if __name__ == "__main__":
    sys.exit(main())
