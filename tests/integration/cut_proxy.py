"""A proxy that breaks connections off after so many bytes of an answer. For tests in Python; a thread for each connection."""
import os
import socket
import struct
import threading


def connect(address):
    """HOST:PORT, or the path of a unix socket."""
    if address.startswith("/"):
        far = socket.socket(socket.AF_UNIX)
        far.connect(address)
        return far
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)))


class CutProxy:
    """Cuts the first connections that carry as many bytes as `cuts` has numbers, one after the other; all later ones it lets
    through. While `passes` is set nothing is counted.

    With `quiet`, nothing is cut: there it stops to forward, for all connections and new ones too, until flows.set()."""

    def __init__(self, target, path=None, cuts=(), quiet=False):
        self.quiet, self.flows, self.n_accepted = quiet, threading.Event(), 0
        self.flows.set()
        self.target, self.cuts, self.n_cuts, self.passes = target, list(cuts), 0, False
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX) if path else socket.socket()
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(64)
        self.path, self.address = path, path or "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def _accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                self.n_accepted += 1
            except OSError:
                return
            try:
                far = connect(self.target)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            threading.Thread(target=self._pump, args=(near, far, pair, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, pair, True), daemon=True).start()

    def _is_over(self, n):
        """Is this where a connection that has brought n bytes breaks?"""
        with self.lock:
            if self.passes or self.n_cuts == len(self.cuts) or n < self.cuts[self.n_cuts]:
                return False
            self.n_cuts += 1
            return True

    def _pump(self, source, sink, pair, counts):
        n = 0
        try:
            while data := source.recv(16384):
                n += len(data)
                if counts and self._is_over(n):
                    if not self.quiet:
                        break  # in the middle of a message: what was read last is not passed on
                    self.flows.clear()
                self.flows.wait()
                sink.sendall(data)
        except OSError:
            pass
        for end in pair:
            try:  # close() alone does not wake who reads; the peer sees a reset, as of a network that broke
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.listener.close()
        if self.path:
            os.unlink(self.path)
