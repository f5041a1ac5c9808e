"""What scenarios share in which a daemon backs something up when it is told."""
import os

from snap import FAR, check, wait_for

REPOSITORY = """\
apiVersion: snapctl.io/v1
kind: Repository
metadata: {name: main}
spec:
  keyFile: main.key
  gc: {every: 0s}
  regions: [{name: here, url: "file://%(root)s/%(place)s"}]
"""


def by_hand(name, *sources):
    """A schedule that is not due while a test runs."""
    return f"""\
---
apiVersion: snapctl.io/v1
kind: Schedule
metadata: {{name: {name}}}
spec:
  cron: "{FAR}"
  sources: {{names: [{', '.join(sources)}]}}
  repository: main
  retries: 0
"""


def begin(world, manifest, place="here", env=None, **values):
    """A repository at that place with its key, and a daemon that knows it and
    the manifest, with the values filled in; commands mean that repository."""
    world.env.pop("SNAPCTL_TEST_RUN")
    os.mkdir(world.path("keys"), 0o700)
    world.run("repo", "init", world.path(place), "--key-file",
              world.path("keys/main.key"))
    world.start(**(env or {}))
    world.apply((REPOSITORY + manifest) % {"root": world.root, "place": place,
                                           **values})
    world.env["SNAPCTL_REPO"] = "main"


def ended(world, number):
    """The run, once it has."""
    row = world.json("run", "show", str(number))
    return row if row["state"] not in ("queued", "running") else None


def meanwhile(world, number, what, condition):
    """What comes true while a run goes on, or else its end is told."""
    def happened():
        row = ended(world, number)
        value = condition()
        check(value or not row, (what, row))
        return value
    return wait_for(what, happened)


def run(world, schedule="nightly"):
    """To its end."""
    number = world.json("run", "start", schedule)["id"]
    return wait_for("the run", lambda: ended(world, number))


def pid_of(world):
    """What a source's command has written to the file pid, once it has."""
    try:
        return int(open(world.path("pid")).read())
    except (OSError, ValueError):
        return None
