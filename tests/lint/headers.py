#!/usr/bin/python3
"""Each header compiles alone, and twice, with gcc and with clang."""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import lint

FLAGS = ["-fsyntax-only", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
         "-D_GNU_SOURCE", "-DSNAPCTL_TEST_HOOKS=1", '-DSNAPCTL_VERSION="0"',
         "-x", "c", "-"]


def compile_alone(root, build, compiler, path):
    source = f'#include "{path}"\n#include "{path}"\nextern int not_empty;\n'
    folders = ["-I", root] + (["-I", build] if build else [])
    done = subprocess.run([compiler, *folders, *FLAGS], input=source, text=True,
                          capture_output=True, timeout=300, check=False)
    if done.returncode == 0:
        return None
    first = (done.stderr.strip().splitlines() or ["?"])[0]
    return f"{path}:1: {compiler} alone: {first}"


def check(root, build=None):
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    if "gcc" not in compilers:
        yield "gcc is missing"
        return
    if "clang" not in compilers:
        print("SKIPPED headers_with_clang: clang is missing")
    headers = [p for p in lint.files(root, ".h",
                                     under=(*lint.HOUSE, "tests/support"))]
    jobs = [(root, build, c, p) for p in headers for c in compilers]
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        yield from filter(None, pool.map(lambda j: compile_alone(*j), jobs))


CASES = [
    ({"base/a.h": "#ifndef A\n#define A\n#include <stddef.h>\n"
                  "struct a { size_t n; };\n#endif\n"}, []),
    ({"base/a.h": "#ifndef A\n#define A\nstruct a { size_t n; };\n#endif\n"},
     ["gcc alone"] + (["clang alone"] if shutil.which("clang") else [])),
    ({"base/a.h": "struct a { int n; };\n"},
     ["gcc alone"] + (["clang alone"] if shutil.which("clang") else [])),
]

if __name__ == "__main__":
    sys.exit(lint.main(check, CASES))
