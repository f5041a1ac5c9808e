#!/usr/bin/python3
"""Lines and branches that no test reaches, and whether they are too many.

    coverage.py COVERAGE.json ROOMS.md LEFT [--write]

COVERAGE.json is gcovr's.  Prints each file with how many of its lines and
branches are reached and which lines are not, and each room of the house as a
whole.  Fails where more of a room is left out than the table in ROOMS.md says,
or more of a file than its row in LEFT, "path lines branches"; the path "*" is
of every file without a row, which else may leave out nothing.  What depends on
how threads and processes meet differs from run to run: a file may have that
many more.

--write makes LEFT, and the figures of the table, of what is left out now.
"""
import json
import re
import sys

MORE_LINES, MORE_BRANCHES = 3, 8


class Count:
    def __init__(self):
        self.lines = self.lines_left = self.branches = self.branches_left = 0
        self.which = []

    def add(self, line):
        if line.get("gcovr/noncode"):
            return
        self.lines += 1
        if line["count"] == 0:
            self.lines_left += 1
            self.which.append(line["line_number"])
        for branch in line["branches"]:
            self.branches += 1
            self.branches_left += branch["count"] == 0

    def join(self, other):
        self.lines += other.lines
        self.lines_left += other.lines_left
        self.branches += other.branches
        self.branches_left += other.branches_left

    def row(self, name):
        def part(left, of):
            return f"{of - left:>6} of {of:>6} " + \
                (f"{100 * (of - left) / of:>5.1f} %" if of else " " * 7)
        return f"{name:<44}{part(self.lines_left, self.lines)}" \
               f"{part(self.branches_left, self.branches):>28}"

    def above(self, lines, branches):
        """In words, or nothing."""
        return " and ".join(
            f"{left} {what} instead of {most}" for left, most, what in (
                (self.lines_left, lines, "lines"),
                (self.branches_left, branches, "branches")) if left > most)


def ranges(numbers):
    """1-3,7 of [1, 2, 3, 7]."""
    found = []
    for n in numbers:
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def counts(path):
    files = {}
    with open(path, encoding="utf-8") as f:
        for file in json.load(f)["files"]:
            count = files.setdefault(file["file"], Count())
            for line in file["lines"]:
                count.add(line)
    return dict(sorted(files.items()))


def rooms_of(path):
    """What may be left out of each room: its lines and branches."""
    with open(path, encoding="utf-8") as f:
        return {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(
            r"^\| (\w+) \| (\d+) \| (\d+) \|", f.read(), re.M)}


def left_of(path):
    with open(path, encoding="utf-8") as f:
        rows = [line.split() for line in f if not line.startswith("#")]
    return {path: (int(lines), int(branches)) for path, lines, branches in rows}


def write_left(path, files):
    with open(path, "w", encoding="utf-8") as f:
        f.write("# Lines and branches of each file that no test has to reach:"
                " COVERAGE.md\n")
        for name, count in files.items():
            if count.lines_left or count.branches_left:
                f.write(f"{name} {count.lines_left} {count.branches_left}\n")


def write_rooms(path, totals):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for room, count in totals.items():
        text = re.sub(rf"^\| {room} \| \d+ \| \d+ \|",
                      f"| {room} | {count.lines_left} | {count.branches_left} |",
                      text, flags=re.M)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def main():
    files = counts(sys.argv[1])
    totals = {room: Count() for room in rooms_of(sys.argv[2])}
    for name, count in files.items():
        totals.setdefault(name.split("/")[0], Count()).join(count)
    if "--write" in sys.argv:
        write_left(sys.argv[3], files)
        write_rooms(sys.argv[2], totals)
    rooms, left = rooms_of(sys.argv[2]), left_of(sys.argv[3])
    worse = []
    if not rooms or not files:
        worse.append("nothing is counted, or nothing is said of it")
    for name, count in files.items():
        print(count.row(name), ranges(count.which))
        lines, branches = left.get(name, left.get("*", (0, 0)))
        more = (MORE_LINES, MORE_BRANCHES) if name in left else (0, 0)
        if why := count.above(lines + more[0], branches + more[1]):
            worse.append(f"{name} leaves out {why}")
    for room, count in totals.items():
        print(count.row(room))
        if why := count.above(*rooms.get(room, (0, 0))):
            worse.append(f"{room} leaves out {why}")
    for why in worse:
        print(why)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
