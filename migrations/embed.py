#!/usr/bin/env python3
"""Turn the numbered SQL files into one C table: embed.py OUT.c FILE.sql..."""

import hashlib
import os
import re
import sys


def literal(text):
    lines = []
    for line in text.splitlines(keepends=True):
        line = line.replace("\\", "\\\\").replace('"', '\\"')
        lines.append('\t"' + line.replace("\t", "\\t").replace("\n", "\\n") + '"')
    return "\n".join(lines)


def main(out, paths):
    rows = []
    for number, path in enumerate(paths, 1):
        name = os.path.basename(path)
        if not re.fullmatch(r"%04d_[a-z0-9_]+\.sql" % number, name):
            sys.exit(f"{name}: expected number {number:04d} and a name of a-z, 0-9, _")
        with open(path, "rb") as f:
            body = f.read()
        body.decode("ascii")
        rows.append((number, name[5:-4], hashlib.sha256(body).hexdigest(),
                     body.decode("ascii")))
    with open(out, "w", encoding="ascii") as f:
        f.write('#include "migrations/migrations.h"\n\n')
        f.write("const struct migration migrations_all[] = {\n")
        for number, name, digest, body in rows:
            f.write(f'{{ {number}, "{name}", "{digest}",\n{literal(body)} }},\n')
        f.write("};\n")
        f.write("const size_t migrations_count = %d;\n" % len(rows))


main(sys.argv[1], sys.argv[2:])
