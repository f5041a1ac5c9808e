#!/usr/bin/python3
"""What CLEANUP() clears at the end of a function was filled before any return.

A pointer starts as NULL, or a struct is the first thing that is filled; a
return in between would free what happens to lie on the stack.  No compiler
tells: the cleanup function takes the address.
"""
import re

import lint

DECLARED = re.compile(
    r"\bCLEANUP\(\w+\)\s*((?:const )?(?:struct )?\w+[\s*]+(\w+)"
    r"(?:\[[^\]]*\])?);")
END = re.compile(r"^}", re.M)


def check(root):
    for path in lint.files(root, ".c", ".h", under=(*lint.HOUSE, "tests")):
        text = lint.code_only(lint.read(root, path))
        for m in DECLARED.finditer(text):
            end = END.search(text, m.end())
            rest = text[m.end():end.start() if end else len(text)]
            used = re.search(rf"\b{m.group(2)}\b", rest)
            left = re.search(r"\breturn\b", rest)
            if left and (not used or left.start() < used.start()):
                yield (f"{path}:{lint.line_of(text, m.start())}: "
                       f"{m.group(2)} may be cleared before it is filled")


CASES = [
    ({"base/a.c": "int f(void)\n{\n\tCLEANUP(buf_done) struct buf b;\n\n"
                  "\tbuf_init(&b, 1);\n\treturn 0;\n}\n"
                  "int g(void)\n{\n\tCLEANUP(x_free) struct x *x = NULL;\n\n"
                  "\tif (p)\n\t\treturn 1;\n\treturn x_new(&x);\n}\n"}, []),
    ({"base/a.c": "int f(void)\n{\n\tCLEANUP(buf_done) struct buf b;\n\n"
                  "\tif (p)\n\t\treturn 1;\n\tbuf_init(&b, 1);\n"
                  "\treturn 0;\n}\n",
      "tests/unit/b.c": "int f(void)\n{\n\tCLEANUP(x_done)\n\tstruct x x;\n\n"
                        "\treturn 0;\n}\n"},
     ["base/a.c:3: b may be cleared", "tests/unit/b.c:3: x may be"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
