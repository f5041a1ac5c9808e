#!/usr/bin/python3
"""Goal of this test: what README shows is what happens.

The commands of its console block are run as they stand, one shell, and their
output is compared with what is printed there: ids, sizes and seconds may
differ, nothing else.  Its manifests are taken.  What it names must exist:
words of ./dev, files, rows of the tables.
"""
import os
import re
import shutil
import subprocess

import snap
from snap import LIMIT, SNAPCTL, check

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MARK = "\x01"
PLACE = "/tmp/try"


def readme():
    with open(os.path.join(HOUSE, "README.md"), encoding="utf-8") as f:
        return f.read()


def ancestors(path):
    while path != "/":
        path = os.path.dirname(path)
        yield path


def comparable(text, place=PLACE):
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    text = re.sub(r"\b\d+(\.\d+)? (B|KiB|MiB|s|chunks)\b", "N", text)
    # How deep the folder of this test lies, and what others do beside it.
    text = re.sub(r"\bdirs +\d+", "dirs N", text)
    others = {f"changed {above} folder mtime - -"
              for above in ancestors(place)}
    lines = [" ".join(line.split()) for line in text.strip().split("\n")]
    return [line.replace(place, PLACE) for line in lines
            if line not in others]


def quickstart(world):
    found = re.search(r"```console\n(.*?)```", readme(), re.S)
    check(found, "no console block")
    steps = []
    for line in found.group(1).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    check(len(steps) > 5, steps)
    place = world.path("try")
    script = "".join(f"{command.replace(PLACE, place)}\nprintf '{MARK}%s{MARK}"
                     "\\n' $?\n" for command, _ in steps)
    p = subprocess.run(["bash", "-c", script], text=True, timeout=LIMIT,
                       capture_output=True, cwd=world.root, env={
                           **world.env, "PATH": os.path.dirname(SNAPCTL) +
                           ":" + os.environ["PATH"]})
    got = p.stdout.split(MARK)
    for i, (command, shown) in enumerate(steps):
        check(got[2 * i + 1] == "0", (command, p.stderr))
        check(comparable(got[2 * i], place) == comparable("\n".join(shown)),
              (command, got[2 * i]))


def manifests(world):
    """What is shown as a manifest is one; those of one block belong
    together, and name nothing that is not there."""
    shown = re.findall(r"```yaml\n(.*?)```", readme(), re.S)
    check(len(shown) > 3, shown)
    world.start()
    for text in shown:
        world.run("apply", "--dry-run", "-f", "-", stdin=text)
    world.stop()


def links(world):
    text = readme()
    for name in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in name:
            check(os.path.exists(os.path.join(HOUSE, name)), name)
    listed = subprocess.run([os.path.join(HOUSE, "dev")], text=True,
                            capture_output=True, check=True).stderr
    listed += subprocess.run([os.path.join(HOUSE, "dev")], text=True,
                             capture_output=True, check=True).stdout
    words = set(re.findall(r"\./dev ([a-z]+)", text))
    check(words, "no words of ./dev")
    for word in words:
        check(f"  {word}" in listed, (word, listed))


def commands(world):
    """Each `snapctl …` in the text begins with a command that there is."""
    known = set(re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", world.run("help"),
                           re.M))
    for spoken in re.findall(r"`snapctl ([a-z]+(?: [a-z]+)?)", readme()):
        check(spoken in known or spoken.split()[0] in known, spoken)


def manuals(world):
    """The daemon's page; the client's is printed, and looked at in cli.py."""
    if not shutil.which("mandoc"):
        print("     not told: there is no mandoc")
        return
    page = os.path.join(HOUSE, "service", "snapctld.8")
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], text=True,
                          capture_output=True)
    check(lint.returncode == 0, lint.stdout)


snap.tell(quickstart, manifests, links, commands, manuals)
