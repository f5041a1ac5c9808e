#!/usr/bin/python3
"""Goal of this test: what is wrong with an S3 region is said, at 03:00."""
import snap
from s3_place import S3
from s3_world import begin, refused


def expect(world, status, *says, words=("snapshot", "list"), **env):
    refused(world, status, *words, says=says, **env)


def a_name_that_is_not_found(world):
    """It may be for a moment: tried again, and busy."""
    begin(world, world.path("disk"), S3())
    expect(world, 6, "cannot be reached", "after 3 tries", "try again",
           SNAPCTL_REPO="s3://backup/r1?endpoint=http://no-such.invalid")


snap.tell(a_name_that_is_not_found)
