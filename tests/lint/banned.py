#!/usr/bin/python3
"""Functions that are easy to misuse, and writes that go past the seam."""
import fnmatch
import re

import lint

BANNED = """
strcpy strcat sprintf vsprintf gets strtok atoi atol atof system popen mktemp
tmpnam tempnam rand srand random srandom drand48 localtime gmtime ctime asctime
alloca setjmp longjmp sigsetjmp siglongjmp strncpy strncat readdir_r signal
strerror usleep vfork stpcpy bcopy bzero
""".split()

# Its clock lags some milliseconds behind the one of clock_gettime().
BANNED += ["time"]

# What changes files.  base/seam.h has a function for each need.
WRITES = """
write pwrite writev pwritev pwritev2 fsync fdatasync rename
renameat renameat2 link linkat symlink symlinkat unlink unlinkat remove rmdir
mkdir mkdirat mknod mknodat mkfifo mkfifoat truncate ftruncate fallocate
posix_fallocate chown lchown fchown fchownat chmod fchmod fchmodat utime utimes
utimensat futimens futimes lutimes setxattr lsetxattr fsetxattr removexattr
lremovexattr fremovexattr creat copy_file_range sendfile splice mkstemp
mkostemp mkdtemp tmpfile
""".split()

# Files that may call some of them: why.
ALLOWED = {
    "base/seam.c": WRITES,  # this is the seam
    # A byte into a pipe wakes a loop from a signal handler.
    "service/*.c": ["write"],
    # The last word of a child that could not become what it was to be.
    "base/child.c": ["write"],
}

CALL = re.compile(r"(?<![\w.>])(\w+)[ \t\n]*\(")
OPENS = re.compile(r"(?<![\w.>])(?:open|openat|openat2)[ \t\n]*\(([^;]*);")
OPEN_WRITES = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE|APPEND)\b")
FOPEN = re.compile(r'(?<![\w.>])fopen[ \t\n]*\([^;"]*(?:"[^"]*"[^;"]*)?"[rbe]*[wa+]')


def may(path, name):
    return any(fnmatch.fnmatchcase(path, pattern) and name in names
               for pattern, names in ALLOWED.items())


def check(root):
    for path in lint.files(root, ".c", ".h", under=(*lint.HOUSE, "tests")):
        whole = lint.read(root, path)
        text = lint.code_only(whole)
        tests = path.startswith("tests/")
        for m in CALL.finditer(text):
            name = m.group(1)
            where = f"{path}:{lint.line_of(text, m.start())}"
            if name in BANNED:
                yield f"{where}: {name}() is banned"
            elif name in WRITES and not tests and not may(path, name):
                yield f"{where}: {name}() goes past base/seam.h"
        if tests or path == "base/seam.c":
            continue
        for m in OPENS.finditer(text):
            if OPEN_WRITES.search(m.group(1)) and \
               '"/dev/null"' not in whole[m.start():m.end()]:
                yield (f"{path}:{lint.line_of(text, m.start())}: opens for "
                       "writing past base/seam.h")
        for m in FOPEN.finditer(whole):
            yield (f"{path}:{lint.line_of(whole, m.start())}: fopen() for "
                   "writing goes past base/seam.h")


CASES = [
    ({"base/seam.c": "int f(void) { return unlink(p); }\n",
      "base/a.c": "/* strcpy(a) */ int x = s->write(fd); /* rename(a) */\n"
                  'const char *t = "system(x)"; int fd = open(p, O_RDONLY);\n'
                  'int null = open("/dev/null", O_RDWR);\n'
                  'FILE *f = fopen(p, "re");\n',
      "service/loop.c": "int f(void) { return (int)write(fd, b, 1); }\n",
      "tests/unit/a.c": "int f(void) { return mkdir(p, 0700); }\n"}, []),
    ({"base/a.c": "\nvoid f(void) { strcpy(a, b); }\n",
      "tests/unit/a.c": "int f(void) { return rand (); }\n",
      "tests/unit/b.c": "int64_t now = time(NULL);\n"},
     ["base/a.c:2: strcpy() is banned", "tests/unit/a.c:1: rand()",
      "tests/unit/b.c:1: time()"]),
    ({"storage/a.c": "int f(void) { return rename(a, b) || write(1, a, 1); }\n"},
     ["rename() goes past", "write() goes past"]),
    ({"storage/a.c": "int fd = openat(d, p,\n\tO_CREAT | O_WRONLY, 0600);\n",
      "storage/b.c": 'FILE *f = fopen("/x", "we");\n'},
     ["storage/a.c:1: opens for writing", "storage/b.c:1: fopen()"]),
]

if __name__ == "__main__":
    lint.main(check, CASES)
