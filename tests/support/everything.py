"""A tree of everything that Linux holds, for backups to prove themselves on."""
import os
import random
import shutil
import socket
import stat
import struct
import subprocess

NAMES = [
    b"a", b"a!b", b"a-b", b"a.b", b"a0", b"a\x01b", b"new\nline", b"tab\t",
    b"\xff\xfe not text", b"\xc3\xa4\xc3\xb6", b" before", b"behind ",
    b"-dash", b"--help", b"quote'\"", b"*glob?[x]", b"!not", b"#hash",
    b"back\\slash", b"\x7f\x1b[31m", b"...", b".hidden", b"$(id)", b"~",
    b"x" * 255, b"\x80" * 255,
]

# Nanoseconds since 1970: before it, just before it, far from it.
TIMES = [-1, 0, 1, -10**9, -999_999_999, 123_456_789, 10**18 + 1,
         -2_000_000_000 * 10**9 + 7, 2**33 * 10**9 + 999_999_999]


def write(path: bytes, data: bytes = b"") -> bytes:
    """A file with that content."""
    with open(path, "wb") as file:
        file.write(data)
    return path


def sparse(path: bytes, size: int, *pieces: tuple[int, bytes]) -> None:
    """A file of holes, but for some pieces."""
    with open(path, "wb") as file:
        for at, data in pieces:
            os.pwrite(file.fileno(), data, at)
        file.truncate(size)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the kernel's attribute: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in entries)


def _names(root: bytes) -> None:
    for number, name in enumerate(NAMES):
        path = root + b"/" + name
        if number % 3 == 2:
            os.mkdir(path)
            write(path + b"/" + name, name)
        else:
            write(path, name * number)
        os.symlink(b"../" + name, root + b"/L" + name[:253])


def _times(root: bytes) -> None:
    for number, time in enumerate(TIMES):
        file = write(b"%s/file %d" % (root, number), b"x")
        folder, link = b"%s/dir %d" % (root, number), b"%s/ln %d" % (root,
                                                                     number)
        os.mkdir(folder)
        os.symlink(file, link)
        for path in (file, folder, link):
            os.utime(path, ns=(time, time), follow_symlinks=False)


def _holes(root: bytes, dice: random.Random) -> None:
    mib = 1 << 20
    sparse(root + b"/only", 64 * mib)
    sparse(root + b"/odd", 3 * mib + 777)
    sparse(root + b"/small", 100)
    sparse(root + b"/middle", 2048 * mib, (0, b"begin"),
           (1000 * mib + 5, dice.randbytes(300000)),
           (2048 * mib - 3, b"end"))
    sparse(root + b"/begins", 9 * mib, (4 * mib, dice.randbytes(5 * mib)))
    sparse(root + b"/ends", 9 * mib, (0, dice.randbytes(5 * mib)))
    # So many extents that they need a map of their own.
    sparse(root + b"/comb", 24 * mib, *((at, dice.randbytes(4096))
                                        for at in range(0, 24 * mib, 8192)))
    write(root + b"/zeros", bytes(5 * mib))


def _links(root: bytes) -> None:
    for number, folder in enumerate((b"/z", b"/m", b"/a")):
        os.mkdir(root + folder)
        if number == 0:
            write(root + b"/z/file", b"linked" * 1000)
            write(root + b"/z/empty")
            os.symlink("nowhere", root + b"/z/symlink")
            os.mkfifo(root + b"/z/fifo")
            continue
        for name in (b"/file", b"/empty", b"/symlink", b"/fifo"):
            os.link(root + b"/z" + name, root + folder + name,
                    follow_symlinks=False)
    os.link(root + b"/z/file", root + b"/a/file again")


def _attributes(root: bytes, dice: random.Random) -> None:
    file, folder = write(root + b"/file", b"x"), root + b"/folder"
    os.mkdir(folder)
    for path in (file, folder):
        os.setxattr(path, b"user.empty", b"")
        os.setxattr(path, b"user.binary", bytes(range(256)))
        os.setxattr(path, b"user.\xff\n", b"odd name")
        for number in range(20):
            os.setxattr(path, b"user.%d" % number, b"%d" % number)
    for number in (255, 256, 257, 3000):
        os.setxattr(write(b"%s/large %d" % (root, number)), b"user.large",
                    dice.randbytes(number))
    user = (0x02, 6, os.getuid() or 12345)
    some = acl((0x01, 7, 0xFFFFFFFF), user, (0x04, 5, 0xFFFFFFFF),
               (0x10, 7, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF))
    os.setxattr(write(root + b"/acl"), "system.posix_acl_access", some)
    os.mkdir(root + b"/acl folder")
    for name in ("access", "default"):
        os.setxattr(root + b"/acl folder", "system.posix_acl_" + name, some)
    write(root + b"/acl folder/inherits")


def _modes(root: bytes) -> None:
    # Others than root neither read all of them nor get them all back.
    for mode in (0o700, 0o740, 0o777, 0o1777) if os.geteuid() else (
            0o000, 0o111, 0o200, 0o444, 0o640, 0o777, 0o1777, 0o2755, 0o4755,
            0o7777):
        os.chmod(write(b"%s/file %o" % (root, mode), b"x"), mode)
        folder = b"%s/folder %o" % (root, mode)
        os.mkdir(folder)
        write(folder + b"/inside")
        os.chmod(folder, mode)


def _deep(root: bytes) -> None:
    """60 deep; the paths are longer than the kernel takes at once."""
    at = os.open(root, os.O_RDONLY)
    for number in range(60):
        name = b"%02d" % number + b"d" * 98
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    top = os.open(root, os.O_RDONLY)
    os.link("file", "linked from the bottom", src_dir_fd=at, dst_dir_fd=top)
    os.close(top)
    os.close(at)


def _sizes(root: bytes, dice: random.Random) -> None:
    os.mkdir(root + b"/empty folder")
    for size in (0, 1, 4095, 4096, 4097, 65536, 1 << 20, (1 << 20) + 1):
        write(b"%s/%d" % (root, size), dice.randbytes(size))
    large = dice.randbytes(20 << 20)
    write(root + b"/random", large)
    write(root + b"/random shifted", b"shift" + large)
    write(root + b"/text", b"".join(b"line %d\n" % n for n in range(10**6)))


def _many(root: bytes, dice: random.Random) -> None:
    for number in range(1500):
        write(b"%s/%d" % (root, number), b"same" if number % 7 == 0
              else dice.randbytes(number % 999))


def _specials(root: bytes) -> None:
    os.mkfifo(root + b"/fifo", 0o612)
    at = os.getcwd()
    os.chdir(root)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
    os.chdir(at)


def _privileged(root: bytes) -> None:
    """What only root can make."""
    for name, kind, device in (
            (b"null", stat.S_IFCHR, (1, 3)), (b"loop", stat.S_IFBLK, (7, 0)),
            (b"far", stat.S_IFCHR, (4095, 1048575)),
            (b"zero", stat.S_IFBLK, (0, 1))):
        os.mknod(root + b"/" + name, kind | 0o640, os.makedev(*device))
    for number, owner in enumerate((1000, 65534, 2**31, 2**32 - 2)):
        file = write(b"%s/owned %d" % (root, number), b"x")
        folder, link = b"%s/dir %d" % (root, number), b"%s/ln %d" % (root,
                                                                     number)
        os.mkdir(folder)
        os.symlink(file, link)
        for path in (file, folder, link):
            os.chown(path, owner, owner ^ 1, follow_symlinks=False)
        os.chmod(file, 0o6755)
        os.setxattr(link, b"trusted.on a link", b"\0\xff",
                    follow_symlinks=False)
        os.setxattr(folder, b"trusted.on a folder", b"x" * 300)
    capable = write(root + b"/capable", b"#!")
    os.chmod(capable, 0o755)
    subprocess.run(["/sbin/setcap", "cap_net_raw,cap_net_admin+ep", capable],
                   check=True)
    os.setxattr(write(root + b"/acl"), "system.posix_acl_access",
                acl((1, 6, 2**32 - 1), (2, 4, 2**31), (2, 7, 2**32 - 2),
                    (4, 4, 2**32 - 1), (8, 1, 2**31 + 1),
                    (0x10, 7, 2**32 - 1), (0x20, 0, 2**32 - 1)))
    os.chown(root + b"/acl", 2**31, 5)


def lacking(folder: bytes) -> str | None:
    """Why what only root can make cannot all be made below folder: the root
    of a container may be without some of root's rights."""
    place = os.path.join(folder, b"probe")
    try:
        os.mkdir(place)
        try:
            _privileged(place)
        finally:
            shutil.rmtree(place)
    except (OSError, subprocess.CalledProcessError) as why:
        return str(why)
    return None


def make(root: bytes, seed: int, privileged: bool) -> None:
    """The tree, in a new folder; as root with what only root can make."""
    dice = random.Random(seed)
    os.mkdir(root)
    for name, part in (
            ("names", _names), ("times", _times), ("links", _links),
            ("modes", _modes), ("deep", _deep), ("specials", _specials),
            ("holes", lambda at: _holes(at, dice)),
            ("attributes", lambda at: _attributes(at, dice)),
            ("sizes", lambda at: _sizes(at, dice)),
            ("many", lambda at: _many(at, dice)),
            *([("privileged", _privileged)] if privileged else [])):
        folder = os.path.join(root, name.encode())
        os.mkdir(folder)
        part(folder)
    os.utime(root, ns=(1, 1))
