"""What scenarios about disks share: loop devices."""
import errno
import os
import subprocess
import sys

from snap import LIMIT, wait_for


def sh(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True,
                          timeout=LIMIT).stdout.strip()


def is_free(device):
    """Nobody has it mounted, not in another mount namespace either."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as e:
        if e.errno == errno.EBUSY:
            return False
        raise
    return True


def unmount(device, folder):
    """For good: a test that made a mount namespace of its own a moment ago, as
    several do, keeps it mounted there until it ends; till then nothing may
    have been written to the disk, and a mount would be of what was there."""
    sh("umount", folder)
    wait_for("the last to unmount it", lambda: is_free(device))


def leave(folder):
    """Unmount it, if it is mounted, once the last have left who died, or
    end, in it."""
    wait_for("the last to leave " + folder, lambda: subprocess.run(
        ["umount", folder], capture_output=True, check=False).returncode == 0
        or not os.path.ismount(folder))


class Disk:
    """A loop device on an image of its own, or, without a size, on one that is
    there."""

    def __init__(self, world, name, size=None):
        self.image = world.path(name + ".img")
        if size:
            with open(self.image, "wb") as f:
                f.truncate(size)
        try:
            self.device = sh("losetup", "--find", "--show", self.image)
        except subprocess.CalledProcessError as e:
            print("skipped: no loop device:", e.stderr.strip())
            sys.exit(77)
        self.folder = world.path(name)
        os.mkdir(self.folder)

    def mount(self):
        sh("mount", self.device, self.folder)

    def unmount(self):
        unmount(self.device, self.folder)

    def close(self):
        try:
            leave(self.folder)
        finally:
            subprocess.run(["losetup", "--detach", self.device], check=False)

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as f:
            f.write(data)

    def content(self):
        with open(self.device, "rb") as f:
            return f.read()
