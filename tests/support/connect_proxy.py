#!/usr/bin/python3
"""An HTTP proxy on loopback that makes tunnels (RFC 9110, section 9.3.6).

    connect_proxy.py [--port N] [--user NAME:PASSWORD]

prints "port N" when it listens, and ends when its standard input does.  Without
the right user it answers 407.  Each line that it prints afterwards is of a
tunnel: the status, and the host and port that were asked for.
"""
import argparse
import base64
import select
import socket
import sys
import threading

HEAD_MAX = 1 << 16
REFUSALS = {405: ("Method Not Allowed",),
            407: ("Proxy Authentication Required",
                  'Proxy-Authenticate: Basic realm="tests"\r\n')}


def head_of(sock):
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(4096)
        if not more or len(head) > HEAD_MAX:
            return None
        head += more
    return head.decode("latin-1").split("\r\n")


def tunnel(a, b):
    """Both ways until one of them ends."""
    while True:
        for source in select.select([a, b], [], [])[0]:
            data = source.recv(1 << 16)
            if not data:
                return
            (b if source is a else a).sendall(data)


def allowed(lines, user):
    if not user:
        return True
    right = "Basic " + base64.b64encode(user.encode()).decode()
    return any(n.lower() == "proxy-authorization" and v.strip() == right
               for n, _, v in (line.partition(":") for line in lines[1:]))


def refuse(sock, status, reason, more=""):
    sock.sendall(f"HTTP/1.1 {status} {reason}\r\n{more}"
                 "Content-Length: 0\r\nConnection: close\r\n\r\n".encode())


def serve(sock, user):
    with sock:
        try:
            lines = head_of(sock)
            if not lines:
                return
            method, target = lines[0].split()[:2]
            status = 405 if method != "CONNECT" else \
                200 if allowed(lines, user) else 407
            # Before the answer: who has it finds it told.  One call, so that
            # lines of two threads do not mix.
            sys.stdout.write(f"{status} {target}\n")
            sys.stdout.flush()
            if status != 200:
                refuse(sock, status, *REFUSALS[status])
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)),
                                          10) as there:
                there.settimeout(None)
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                tunnel(sock, there)
        except OSError:
            pass


def main():
    parser = argparse.ArgumentParser(description="A proxy that makes tunnels.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user")
    words = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", words.port))
    print("port", listener.getsockname()[1], flush=True)

    def accept():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, words.user),
                             daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
