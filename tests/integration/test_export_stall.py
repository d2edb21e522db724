#!/usr/bin/python3
"""Downloads whose clients do not read: each keeps its chunk for as long as nobody else needs the memory, and is ended when
somebody does. Real clients of stock gRPC that open their streams and leave them alone.
test_export_stall.py DIRECTORY-OF-PROGRAMS [directory]      where the files are; otherwise in the database"""
import os
import socket
import sys
import time

import grpc
from export_fixture import BIG, SCHEMA, Fixture, begin, check, has, until
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

DOWNLOAD = "/joblog.v1.ExportService/DownloadExport"
READERS = 24  # half a megabyte each, of 8 MiB that --memory-mb=64 gives to downloads
STALL_MS = 1500


def request(export):
    wire, n = b"\x08", int(export)
    while n > 127:
        wire, n = wire + bytes([n & 127 | 128]), n >> 7
    return wire + bytes([n])


class Sleeper:
    """A download on a connection of its own that is not read."""

    def __init__(self, fx, export):
        with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
            metadata = [("authorization", "Bearer " + f.read().strip())]
        self.channel = grpc.insecure_channel(fx.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stream = self.channel.unary_stream(DOWNLOAD)(request(export), metadata=metadata)

    def read(self):
        """How many messages there were, and the status."""
        n = 0
        try:
            for _ in self.stream:
                n += 1
        except grpc.RpcError as e:
            return n, e.code(), e.details()
        finally:
            self.channel.close()
        return n, grpc.StatusCode.OK, ""


class Deaf:
    """One that does not even read from its socket, with windows as wide as HTTP/2 knows them."""

    def __init__(self, fx, export):
        host, port = fx.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
        h2.increment_flow_control_window((1 << 31) - 1 - 65535)
        with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
            token = "Bearer " + f.read().strip()
        h2.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", DOWNLOAD), (":authority", fx.address),
                            ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", token)])
        message = request(export)
        h2.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        self.socket.sendall(h2.data_to_send())


def download(fx, export):
    done = fx.joblog("export", "download", export, "--output", "-")
    return done.returncode, len(done.stdout), done.stderr.decode() if done.returncode else ""


def nobody_waits(fx, export, size):
    """They may stand still for as long as they like."""
    sleepers = [Sleeper(fx, export) for _ in range(3)]
    began = time.monotonic()
    while time.monotonic() - began < 2 * STALL_MS / 1000:
        check("download beside readers that do not read", (0, size, ""), download(fx, export))
    for sleeper in sleepers:
        n, code, words = sleeper.read()
        check("read after all " + words, (True, grpc.StatusCode.OK), (n > 10, code))


def others_wait(fx, export, size):
    """All the memory is theirs, until somebody wants some of it."""
    sleepers = [Sleeper(fx, export) for _ in range(READERS)]
    for sleeper in sleepers:
        sleeper.stream.initial_metadata()  # there is a first message, or the status of one that found no room
    results = []
    until("a download that gets through", lambda: results.append(download(fx, export)) or results[-1][0] == 0)
    check("all of it", size, results[-1][1])
    ends = [sleeper.read() for sleeper in sleepers]
    stalled = [words for _, code, words in ends if code == grpc.StatusCode.ABORTED]
    for words in stalled:
        has("words", "stood still for", words)
    check("some have been ended", True, len(stalled) > 0)
    check("the others found no room, or were read", set(), {code for _, code, _ in ends} - {
        grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK})
    check("and all is as before", (0, size, ""), download(fx, export))


def the_deaf(fx, export, size):
    """Nothing reaches them, so they lose their connections."""
    deaf = [Deaf(fx, export) for _ in range(READERS)]
    results = []

    def got_through():
        results.append(download(fx, export))
        return results[-1][0] == 0 and "reason=its-peer-does-not-read" in open(fx.dir + "/log").read()
    until("a download that gets through, as they lose their connections", got_through)
    check("all of it", size, results[-1][1])
    for one in deaf:
        one.socket.close()


def main():
    args = ["--memory-mb=64", "--download-stall-ms=%d" % STALL_MS, "--export-owner-running=0", "--export-owner-per-day=0"]
    fx = Fixture(sys.argv[1], *args)
    with fx:
        fx.sql(SCHEMA)
        fx.write_types([BIG])
        if sys.argv[2:] == ["directory"]:
            place = os.path.join(fx.dir, "files")
            os.mkdir(place)
            fx.end()
            fx.start("--export-directory", place, *args)
        else:
            fx.reload("export types loaded types=2")
        export = begin(fx, "big", "--watch")
        size = int(fx.sql("SELECT size FROM joblog.export_file ORDER BY job_id DESC LIMIT 1;"))
        nobody_waits(fx, export, size)
        others_wait(fx, export, size)
        the_deaf(fx, export, size)


main()
