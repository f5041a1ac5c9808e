#!/usr/bin/python3
"""Two hosts on one machine, and the cable between them.

Aim: what the kernel does to a connection when a link goes down, comes up, or
resets, where there is neither a second machine nor a module for such links.

Two network namespaces, each with a loopback and a tun(4) device; packets go
from one device to the other through this process, which is the cable.

    cable.py up         prints "hosts PID PID", whose namespaces they are (for
                        nsenter(1): /proc/PID/ns/net), 10.87.0.1 and 10.87.0.2,
                        and lives until its standard input ends, or its parent
    cable.py can        0 when it could be done here, else 77 and why not

Further lines of its input, each answered with "ok":

    mend                the cable is put in again
    up                  the second host's device is switched on again
    after N WAY WHAT    when N more bytes of TCP have gone WAY, "there" from
                        the first host to the second or "back":
                        cut     the cable is pulled out
                        down    the second host's device is switched off
                        reset   the connection that they belong to is reset, as
                                by a firewall that lost its state: both ends
                                are told
    due                 answered by "yes" while that is still to come, or "no"

The namespaces are those of two processes that nothing else knows: whatever
ends this one ends them, and with them goes all that was set up in them.
"""
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys

ADDRESSES = ("10.87.0.1", "10.87.0.2")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFDSTADDR = 0x8916, 0x8918
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
MTU_MAX = 65536
libc = ctypes.CDLL(None, use_errno=True)


def fails(what):
    number = ctypes.get_errno()
    raise OSError(number, what + ": " + os.strerror(number))


def interface(name, *more):
    """A struct ifreq."""
    return struct.pack("16s16s", name, *more) + bytes(8)


def address(text):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def switch(name, on):
    """A device of the namespace that this process is in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        told = fcntl.ioctl(s, SIOCGIFFLAGS, interface(name, bytes(16)))
        flags, = struct.unpack_from("=H", told, 16)
        flags = flags | IFF_UP if on else flags & ~IFF_UP
        fcntl.ioctl(s, SIOCSIFFLAGS, interface(
            name, struct.pack("=H14x", flags)))


def plug(mine, other):
    """This namespace's end of the cable: a descriptor of its packets."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, interface(b"cable", struct.pack(
        "=H14x", IFF_TUN | IFF_NO_PI)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFADDR, interface(b"cable", address(mine)))
        fcntl.ioctl(s, SIOCSIFDSTADDR, interface(b"cable", address(other)))
    switch(b"lo", True)
    switch(b"cable", True)
    return fd


class Host:
    """A process in a namespace of its own, with an end of the cable."""

    def __init__(self, mine, other):
        self.control, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self.control.close()
            self.live(theirs, mine, other)
        theirs.close()
        why, fds, _, _ = socket.recv_fds(self.control, 1000, 1)
        if not fds:
            raise OSError(why.decode() or "a host ended")
        self.fd = fds[0]

    def live(self, control, mine, other):
        try:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if libc.unshare(CLONE_NEWNET):
                fails("a network namespace")
            fd = plug(mine, other)
            socket.send_fds(control, [b"ok"], [fd])
            # That it is held open here, too, is what keeps the device.
            while word := control.recv(100):
                switch(b"cable", word == b"up")
                control.send(b"ok")
        except OSError as e:
            control.send(str(e).encode())
        finally:
            os._exit(0)

    def tell(self, word):
        self.control.send(word)
        if self.control.recv(1000) != b"ok":
            raise OSError("a host did not do " + word.decode())


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def reset_segment(source, target, ports, sequence):
    """A packet with nothing but a TCP reset."""
    tcp = struct.pack("!HHIIBBHHH", *ports, sequence & 0xffffffff, 0, 5 << 4,
                      0x04, 0, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0,
                     source, target)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def segment(packet):
    """Of TCP: addresses, ports, sequence, what was seen, bytes of data."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    head = (packet[0] & 15) * 4
    from_port, to_port, sequence, seen, offset = struct.unpack_from(
        "!HHIIB", packet, head)
    return (packet[12:16], packet[16:20], from_port, to_port, sequence, seen,
            len(packet) - head - (offset >> 4) * 4)


class Cable:
    """Packets from one host to the other, until something is done to it."""

    def __init__(self):
        self.hosts = [Host(*ADDRESSES), Host(*reversed(ADDRESSES))]
        self.is_cut = False
        self.due = None  # [bytes, from which host, what]

    def do(self, line):
        word, *more = line.split()
        if word == "mend":
            self.is_cut = False
        elif word == "up":
            self.hosts[1].tell(b"up")
        elif word == "after":
            self.due = [int(more[0]), ("there", "back").index(more[1]),
                        more[2]]
        elif word == "due":
            return "yes" if self.due else "no"
        else:
            raise ValueError("no such word: " + word)
        return "ok"

    def give(self, n, packet):
        try:
            os.write(self.hosts[n].fd, packet)
        except OSError:
            pass  # it is switched off: the packet is lost

    def is_time(self, n, packet):
        """Whether something happens to the cable, and not to this one first;
        then it has happened, and the packet is lost."""
        if not self.due or self.due[1] != n:
            return False
        told = segment(packet)
        if not told or told[-1] <= 0:
            return False
        self.due[0] -= told[-1]
        if self.due[0] > 0:
            return False
        what, self.due = self.due[2], None
        if what == "cut":
            self.is_cut = True
        elif what == "down":
            self.hosts[1].tell(b"down")
        else:
            source, target, from_port, to_port, sequence, seen, _ = told
            self.give(1 - n, reset_segment(source, target,
                                           (from_port, to_port), sequence))
            self.give(n, reset_segment(target, source, (to_port, from_port),
                                       seen))
        return True

    def carry(self, n):
        packet = os.read(self.hosts[n].fd, MTU_MAX)
        if not self.is_cut and not self.is_time(n, packet):
            self.give(1 - n, packet)

    def run(self):
        parent = os.getppid()
        print("hosts", *(h.pid for h in self.hosts), flush=True)
        told = b""
        while os.getppid() == parent:
            ready, _, _ = select.select([0, *(h.fd for h in self.hosts)], [],
                                        [], 0.5)
            for n, host in enumerate(self.hosts):
                if host.fd in ready:
                    try:
                        self.carry(n)
                    except OSError:
                        pass  # it was switched off meanwhile
            if 0 not in ready:
                continue
            more = os.read(0, 4096)
            if not more:
                return
            told += more
            while b"\n" in told:
                line, _, told = told.partition(b"\n")
                print(self.do(line.decode()), flush=True)


def main():
    try:
        cable = Cable()
    except OSError as e:
        print("there is no network of our own:", e)
        sys.exit(77)
    if sys.argv[1] == "up":
        cable.run()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
