"""What a tree holds, as far as a restore brings it back."""
import hashlib
import os
import stat


def entry_of(path, groups):
    st = os.lstat(path)
    what = None
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as f:
            what = hashlib.sha256(f.read()).hexdigest()
    elif stat.S_ISLNK(st.st_mode):
        what = os.readlink(path)
    group = groups.setdefault((st.st_dev, st.st_ino), path)
    attributes = {n: os.getxattr(path, n, follow_symlinks=False)
                  for n in os.listxattr(path, follow_symlinks=False)}
    return (st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, what,
            group, attributes)


def picture(tree):
    """All that a restore brings back, by path below tree."""
    paths = [tree]
    for folder, folders, files in os.walk(tree):
        paths += [os.path.join(folder, n) for n in folders + files]
    groups = {}
    found = {}
    for path in sorted(paths):
        entry = entry_of(path, groups)
        found[path[len(tree):]] = (*entry[:5], entry[5][len(tree):],
                                   *entry[6:])
    return found
