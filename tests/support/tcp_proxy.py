#!/usr/bin/python3
"""A TCP proxy on loopback that is a bad network when it is told to be.

Aim: what happens between a client and a server, whatever they speak.

    tcp_proxy.py --to [HOST:]PORT [--port N]

prints "port N" and "control M" when it listens, and ends when its standard
input does, or its parent.  The control port takes POST of JSON at /_control:

    {"do": "set", "latency": SECONDS each way, "bandwidth": BYTES a second and
        direction and connection, "black_hole": true (connections are taken,
        no byte is passed on)}; what is not named stays
    {"do": "refuse", "on": true}    nobody listens any more, or again
    {"do": "cut", "reset": true}    all connections end now (by a reset)
    {"do": "reset_after", "bytes": N, "way": "up" | "down", "next": 1}
        of each of the next connections: a reset after so many bytes from the
        client ("up") or from the server
    {"do": "counts"}                connections, open, up, down
"""
import argparse
import collections
import http.server
import json
import os
import select
import socket
import struct
import sys
import threading
import time

CHUNK = 64 << 10
HELD_MAX = 4 << 20  # of one way, under way


class Way:
    """Bytes of one connection, in one direction."""

    def __init__(self, pair, name, source, target):
        self.pair, self.name = pair, name
        self.source, self.target = source, target
        self.held = collections.deque()  # (when it is due, bytes)
        self.size = 0
        self.change = threading.Condition()

    def start(self):
        for work in (self.take, self.give):
            threading.Thread(target=work, daemon=True).start()

    def take(self):
        data = b"-"
        while data:
            try:
                # Not for ever: a socket that is in a call is not closed.
                while not select.select([self.source], [], [], 0.05)[0]:
                    pass
                data = self.source.recv(CHUNK)
            except (OSError, ValueError):
                data = b""
            with self.change:
                due = time.monotonic() + self.pair.proxy.latency
                self.held.append((due, data))
                self.size += len(data)
                self.change.notify_all()
                while self.size > HELD_MAX and not self.pair.ended:
                    self.change.wait(0.1)

    def give(self):
        free = 0.0  # when the line has passed on what was given to it
        while not self.pair.ended:
            with self.change:
                while not self.held:
                    self.change.wait()
                due, data = self.held.popleft()
                self.size -= len(data)
                self.change.notify_all()
            wait = max(due, free) - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.pair.proxy.wait_open(self.pair)
            if not self.pass_on(data):
                break
            if self.pair.proxy.bandwidth:
                free = max(free, time.monotonic()) + \
                    len(data) / self.pair.proxy.bandwidth
        self.pair.ended_way(self)

    def pass_on(self, data):
        try:
            if not data:
                self.target.shutdown(socket.SHUT_WR)
                return False
            left = self.pair.left(self)
            if left is not None and len(data) >= left:
                self.target.sendall(data[:left])
                time.sleep(0.05)  # a reset throws away what is under way
                self.pair.end(True)
                return False
            self.target.sendall(data)
            self.pair.count(self, len(data))
        except OSError:
            self.pair.end(False)
            return False
        return True


class Pair:
    """A client's connection and ours to the server."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.ends = client, server
        self.ended = False
        self.resets = {}  # of a way's name: after how many bytes
        self.ways = [Way(self, "up", client, server),
                     Way(self, "down", server, client)]
        self.open = 2
        self.lock = threading.Lock()

    def left(self, way):
        return self.resets.get(way.name)

    def count(self, way, n):
        if way.name in self.resets:
            self.resets[way.name] -= n
        with self.proxy.lock:
            self.proxy.passed[way.name] += n

    def ended_way(self, way):
        with self.lock:
            self.open -= 1
            last = self.open == 0
        if last:
            self.end(False)

    def end(self, reset):
        with self.lock:
            if self.ended:
                return
            self.ended = True
        for sock in self.ends:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            else:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            sock.close()
        for way in self.ways:
            with way.change:
                way.held.append((0, b""))
                way.change.notify_all()
        with self.proxy.lock:
            self.proxy.pairs.discard(self)


class Proxy:
    """The listener, and what all connections suffer."""

    def __init__(self, to, port):
        self.to = to
        self.latency = 0
        self.bandwidth = 0
        self.black_hole = False
        self.pairs = set()
        self.passed = {"up": 0, "down": 0}
        self.connections = 0
        self.resets = []  # (way, bytes) of the next connections
        self.lock = threading.Lock()
        self.listener = None
        # Bound for good: while nobody listens, nobody else gets the port.
        self.keeper = socket.socket()
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.keeper.bind(("127.0.0.1", port))
        self.port = self.keeper.getsockname()[1]
        self.listen()

    def listen(self):
        # With SO_REUSEADDR, as the keeper.
        self.listener = socket.create_server(("127.0.0.1", self.port),
                                             backlog=1024)
        threading.Thread(target=self.accept, args=(self.listener,),
                         daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.to)
            except OSError:
                client.close()
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(self, client, server)
            with self.lock:
                self.connections += 1
                self.pairs.add(pair)
                if self.resets:
                    pair.resets = dict([self.resets.pop(0)])
            for way in pair.ways:
                way.start()

    def wait_open(self, pair):
        while self.black_hole and not pair.ended:
            time.sleep(0.02)

    def do_set(self, **values):
        for name, value in values.items():
            if name not in ("latency", "bandwidth", "black_hole"):
                raise ValueError("no such setting: " + name)
            setattr(self, name, value)

    def do_refuse(self, on=True):
        if on and self.listener:
            # Wakes the thread that accepts, which would hold it.
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        elif not on and not self.listener:
            self.listen()

    def do_cut(self, reset=False):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            pair.end(reset)
        return len(pairs)

    def do_reset_after(self, bytes, way="down", next=1):
        if way not in ("up", "down"):
            raise ValueError("no such way: " + way)
        with self.lock:
            self.resets += [(way, bytes)] * next

    def do_counts(self):
        with self.lock:
            return {"connections": self.connections, "open": len(self.pairs),
                    **self.passed}


def control(proxy):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            status = 200
            try:
                size = int(self.headers["Content-Length"])
                words = json.loads(self.rfile.read(size))
                told = getattr(proxy, "do_" + words.pop("do"))(**words)
            except (ValueError, TypeError, AttributeError, KeyError) as e:
                status, told = 400, {"error": repr(e)}
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main():
    p = argparse.ArgumentParser(description="A bad network for tests.")
    p.add_argument("--to", required=True)
    p.add_argument("--port", type=int, default=0)
    options = p.parse_args()
    host, _, port = options.to.rpartition(":")
    proxy = Proxy((host or "127.0.0.1", int(port)), options.port)
    server = control(proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("port", proxy.port)
    print("control", server.server_address[1], flush=True)
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
