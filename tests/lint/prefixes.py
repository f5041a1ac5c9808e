#!/usr/bin/python3
"""The file is the prefix: what an object exports carries its file's name.

foo.c and foo_part.c export foo_… only; one of several of a kind, in a folder
with the plural's name, may put the kind in front: stores/mem.c has store_mem_…; a
file about several things may name one of them: fields.c has field_….
Nothing we export may have the name
of something in a library that our programs load: ours would be called in its
place, by the library too.

    prefixes.py ROOT BUILD
"""
import json
import os
import re
import subprocess
import tempfile

import lint

COMPILER_MADE = re.compile(r"^(__asan|__odr_asan|__ubsan|__gcov|__llvm|__sanitizer)")


def exported(path):
    """Names that an object file gives to others."""
    out = subprocess.run(["nm", "-g", "--defined-only", "-f", "posix", path],
                         capture_output=True, text=True, timeout=300,
                         check=True).stdout
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    return [n for n in names if not COMPILER_MADE.match(n)]


def fits(path, name):
    folder, stem = path[:-2].split("/")[-2:]
    parts = stem.split("_")
    prefixes = {"_".join(parts[:n]) for n in range(1, len(parts) + 1)}
    prefixes |= {p[:-1] for p in prefixes if p.endswith("s")}
    if folder.endswith("s"):
        prefixes |= {f"{folder[:-1]}_{p}" for p in prefixes}
    return any(name == p or name.startswith(p + "_") for p in prefixes)


def objects(root, build):
    """(source path from the root, object path) of the house."""
    with open(os.path.join(build, "compile_commands.json"),
              encoding="utf-8") as f:
        commands = json.load(f)
    for c in commands:
        source = os.path.normpath(os.path.join(c["directory"], c["file"]))
        path = os.path.relpath(source, os.path.abspath(root))
        obj = os.path.join(c["directory"], c["output"])
        if path.split("/")[0] in lint.HOUSE and os.path.exists(obj):
            yield path, obj


# What stands for functions of a library that is loaded late has their names.
STANDS_FOR = {"base/late_curl.c": "curl_"}


def late_library():
    """Where libcurl is."""
    out = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True,
                         text=True, timeout=300, check=True).stdout
    found = re.search(r"libcurl\.so\.4 .*=> (/\S+)", out)
    return found[1] if found else None


def programs(build):
    return filter(os.path.exists, (os.path.join(build, "service", p)
                                   for p in ("snapctl", "snapctld")))


def dynamic(path):
    """Names that a program or library gives to what is loaded with it."""
    out = subprocess.run(["nm", "-D", "--defined-only", "-f", "posix", path],
                         capture_output=True, text=True, timeout=300,
                         check=False).stdout
    return {line.split()[0].split("@")[0] for line in out.splitlines()
            if line.strip()}


def library_names(build):
    """Every name that the libraries of our programs export."""
    names = {}
    libraries = {late_library()} - {None}
    for program in [*programs(build), *libraries]:
        out = subprocess.run(["ldd", program], capture_output=True, text=True,
                             timeout=300, check=True).stdout
        libraries |= set(re.findall(r"=> (/\S+)", out))
    for library in sorted(libraries):
        for name in dynamic(library):
            names.setdefault(name, os.path.basename(library))
    return names


def check(root, build=None):
    build = build or os.path.join(root, "build")
    theirs = library_names(build)
    ours = set().union(*map(dynamic, programs(build)))
    for path, obj in sorted(objects(root, build)):
        for name in exported(obj):
            if name == "main":
                continue
            if name.startswith(STANDS_FOR.get(path, " ")):
                if name in ours:
                    yield f"{path}:1: {name} is called by its library, too"
                continue
            if not fits(path, name):
                stem = os.path.basename(path)[:-2]
                yield f"{path}:1: exports {name}, which is not {stem}_…"
            if name in theirs:
                yield f"{path}:1: exports {name}, as {theirs[name]} does"


def planted(source, stem):
    """A tree with one object, as check() wants it, is built by hand."""
    def run(root):
        os.makedirs(os.path.join(root, "build/service"))
        os.makedirs(os.path.join(root, "base"))
        path = os.path.join(root, "base", stem + ".c")
        with open(path, "w", encoding="utf-8") as f:
            f.write(source)
        obj = os.path.join(root, "build", stem + ".o")
        subprocess.run(["gcc", "-c", "-fPIC", path, "-o", obj], check=True,
                       timeout=300)
        with open(os.path.join(root, "build/compile_commands.json"), "w",
                  encoding="utf-8") as f:
            json.dump([{"directory": os.path.join(root, "build"),
                        "file": path, "output": stem + ".o"}], f)
        with open(os.path.join(root, "m.c"), "w", encoding="utf-8") as f:
            f.write("int main(void) { return 0; }\n")
        subprocess.run(["gcc", os.path.join(root, "m.c"), "-o",
                        os.path.join(root, "build/service/snapctl")],
                       check=True, timeout=300)
        return list(check(root))
    return run


CASES = [
    ("int buf_add; int buf; static int helper; int main(void) "
     "{ return helper; }\n", "buf", []),
    ("const int buf_part_x = 1; int buf_y;\n", "buf_part", []),
    ("int field_a; int fields_b;\n", "fields", []),
    ("int add;\n", "buf", ["exports add"]),
    ("const int buffer_ops = 1;\n", "buf", ["exports buffer_ops"]),
    ("struct o { int a; }; const struct o table = { 1 };\n", "buf",
     ["exports table"]),
    ("int curl_a; int other;\n", "late_curl", ["exports other"]),
    ("int stderr; int curl_a;\n", "buf", ["stderr, which", "stderr, as libc",
                                         "exports curl_a"]),
    ("int string_x; int strlen;\n", "str", ["string_x", "strlen, which",
                                           "strlen, as libc"]),
]


def self_test():
    bad = 0
    for number, (source, stem, wanted) in enumerate(CASES):
        with tempfile.TemporaryDirectory() as root:
            found = sorted(planted(source, stem)(root))
        if len(found) != len(wanted) or \
           any(not any(w in f for f in found) for w in wanted):
            bad += 1
            print(f"case {number}: wanted {wanted}\n  found {found}")
    print(f"{100 if not bad else 0}%: Checks: {len(CASES)}, "
          f"Failures: {bad}, Errors: 0")
    return 1 if bad else 0


if __name__ == "__main__":
    import sys
    if sys.argv[1:2] == ["--self-test"]:
        sys.exit(self_test())
    lint.main(check, CASES)
