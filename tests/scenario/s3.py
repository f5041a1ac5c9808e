#!/usr/bin/python3
"""Goal of this test: with a repository in S3 all is as with one on a disk."""
import os

import snap
from s3_place import FakeServer
from s3_world import begin, create, restored, write
from snap import check


def received_in_one_second(world):
    """The store's clock has no finer one; the order is right all the same."""
    with FakeServer(buckets=["backup"]) as s3:
        begin(world, s3.url("backup", "r1"), s3)
        taken = []
        for n in range(6):
            write(os.path.join(world.tree, "new"), 1000, n)
            taken.append(create(world)["snapshot"])
        listed = world.json("snapshot", "list")
        check([s["id"] for s in listed] == taken, (taken, listed))
        restored(world, "latest")


snap.tell(received_in_one_second)
