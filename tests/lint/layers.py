#!/usr/bin/python3
"""Who may include whom: the layers of the house, and who owns a library."""
import fnmatch
import os
import re

import lint

# A folder includes itself and these; tests may include everything.
LAYERS = {
    "base": [],
    "schedules": ["base"],
    "storage": ["base"],
    "migrations": ["base"],
    "service": ["base", "schedules", "storage", "migrations"],
}

# A library's headers, and the only files that may know them.
OWNERS = {
    "sqlite3*.h": ["service/sql.c", "service/sql_vfs.c"],
    "curl/*": ["base/late_curl.c", "storage/stores/s3*.[ch]",
               "service/client*.[ch]"],
    "microhttpd.h": ["service/http*.[ch]"],
    "libfyaml.h": ["service/yaml*.[ch]"],
    "jansson.h": ["service/*.[ch]", "storage/stores/s3_credentials*.[ch]"],
    "expat.h": ["storage/stores/s3_xml.c"],
    "libpq-fe.h": ["service/catalog*.[ch]"],
    "sodium*": ["base/secret.c",
                "storage/repository/seal*.[ch]",
                "storage/repository/key*.[ch]",
                "storage/repository/hash*.[ch]",
                "storage/repository/chunk*.[ch]", "storage/repository/cut.c",
                "service/catalog_hash.c"],
    "openssl/*": ["base/openssl.[ch]"],
    "z*.h": ["storage/repository/compress*.[ch]"],  # zstd.h, zdict.h
    "check.h": [],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def check(root):
    for path in lint.files(root, ".c", ".h", under=lint.HOUSE):
        # Literals are needed here: the name between the quotes.
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"),
                      lint.read(root, path), flags=re.S)
        for m in INCLUDE.finditer(text):
            wrong = judge(root, path, m.group(1) == "<", m.group(2))
            if wrong:
                yield f"{path}:{lint.line_of(text, m.start(1))}: {wrong}"


def judge(root, path, angle, header):
    if angle:
        for pattern, owners in OWNERS.items():
            if fnmatch.fnmatchcase(header, pattern) and \
               not any(fnmatch.fnmatchcase(path, o) for o in owners):
                return f"<{header}> belongs to {', '.join(owners) or 'tests'}"
        return None
    top = path.split("/")[0]
    other = header.split("/")[0]
    if other != top and other not in LAYERS[top]:
        return f'{top} may not include "{header}"'
    if not os.path.isfile(os.path.join(root, header)):
        return f'"{header}" is not a path from the root'
    if header.endswith("_internal.h") and \
       os.path.dirname(header) != os.path.dirname(path):
        return f'"{header}" is private to its folder'
    return None


CASES = [
    ({"base/a.h": "", "base/a.c": '#include "base/a.h"\n#include <stdio.h>\n',
      "service/b.c": '#include "storage/c.h"\n#include "base/a.h"\n',
      "storage/c.h": "/* #include <sqlite3.h> */\n",
      "service/sql.c": "#include <sqlite3.h>\n"}, []),
    ({"base/a.c": '\n#include "service/b.h"\n', "service/b.h": ""},
     ["base/a.c:2: base may not include"]),
    ({"storage/a.c": '#include "schedules/b.h"\n', "schedules/b.h": "",
      "schedules/c.c": '#include "storage/d.h"\n', "storage/d.h": ""},
     ["schedules/c.c:1", "storage/a.c:1"]),
    ({"service/catalog.c": "#include <sqlite3.h>\n",
      "base/buf.c": "# include <sodium.h>\n",
      "storage/repository/pack.c": "#include <zstd.h>\n",
      "service/op.c": "#include <check.h>\n"},
     ["base/buf.c:1: <sodium.h> belongs to",
      "service/catalog.c:1: <sqlite3.h> belongs to service/sql.c",
      "service/op.c:1: <check.h> belongs to tests",
      "storage/repository/pack.c:1: <zstd.h>"]),
    ({"base/a.c": '#include "a.h"\n', "base/a.h": ""},
     ["base/a.c:1: base may not include"]),
    ({"base/a.c": '#include "base/b.h"\n'}, ["is not a path from the root"]),
    ({"service/a.c": '#include "storage/x/b_internal.h"\n',
      "storage/x/b_internal.h": "",
      "storage/x/b.c": '#include "storage/x/b_internal.h"\n'},
     ["service/a.c:1: \"storage/x/b_internal.h\" is private"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
