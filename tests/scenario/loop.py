"""What scenarios about disks share: loop devices."""
import os
import subprocess
import sys

from snap import LIMIT


def sh(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True,
                          timeout=LIMIT).stdout.strip()


class Disk:
    """A loop device on an image of its own."""

    def __init__(self, world, name, size):
        self.image = world.path(name + ".img")
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
        # Somebody who made a mount namespace meanwhile, as other tests do,
        # keeps it mounted there: then this alone writes nothing to the disk.
        sh("sync", "-f", self.folder)
        sh("umount", self.folder)

    def close(self):
        subprocess.run(["umount", self.folder], capture_output=True,
                       check=False)
        subprocess.run(["losetup", "--detach", self.device], check=False)

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as f:
            f.write(data)

    def content(self):
        with open(self.device, "rb") as f:
            return f.read()
