"""A test in a process group and a folder of its own, both of which go."""
import os
import shutil
import signal
import sys
import tempfile
import traceback

# What ends a test that takes too long, or a person.
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def memory():
    """A folder in memory that holds all: who is killed loses no page of it,
    and half of the time would go into syncing. None: where others go."""
    folder = os.environ.get("SNAPCTL_TEST_MEMORY")
    if not folder and "TMPDIR" not in os.environ:
        folder = "/dev/shm"
    if not folder or not os.access(folder, os.W_OK | os.X_OK):
        return None
    room = os.statvfs(folder)
    return folder if room.f_bavail * room.f_frsize > 512 << 20 else None


def run(work, prefix, keep=False):
    """The status of work(folder), in which all temporary files are made."""
    for number in ENDS:
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    root = None
    try:
        root = tempfile.mkdtemp(prefix=prefix, suffix=".d", dir=memory())
        tempfile.tempdir = root
        return in_a_group(lambda: work(root))
    finally:
        if root and not keep:
            shutil.rmtree(root, ignore_errors=True)


def in_a_group(work):
    """The status of work() in a process of its own.  Whatever ends this one
    ends that and what it started at once, so that the folder can go: a round
    that is waited for would write to it for long."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
            for number in ENDS:
                signal.signal(number, signal.SIG_DFL)
            status = work()
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    ended = False
    try:
        # Both do it: one of them is first.
        os.setpgid(child, child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = True
        return status
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not ended:
            os.waitpid(child, 0)
