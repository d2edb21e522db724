#!/usr/bin/python3
"""Downloads whose clients do not read: each keeps its chunk for as long as nobody else needs the memory, and is ended when
somebody does. Real clients of stock gRPC that open their streams and leave them alone.
test_export_stall.py DIRECTORY-OF-PROGRAMS"""
import os
import sys
import time

import grpc
from export_fixture import BIG, SCHEMA, Fixture, begin, check, has, until

DOWNLOAD = "/joblog.v1.ExportService/DownloadExport"
READERS = 24  # half a megabyte each, of 8 MiB that --memory-mb=64 gives to downloads
STALL_MS = 1500


class Sleeper:
    """A download on a connection of its own that is not read."""

    def __init__(self, fx, export):
        with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
            metadata = [("authorization", "Bearer " + f.read().strip())]
        self.channel = grpc.insecure_channel(fx.address, options=[("grpc.use_local_subchannel_pool", 1)])
        wire, n = b"\x08", int(export)
        while n > 127:
            wire, n = wire + bytes([n & 127 | 128]), n >> 7
        self.stream = self.channel.unary_stream(DOWNLOAD)(wire + bytes([n]), metadata=metadata)

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


def both(fx):
    export = begin(fx, "big", "--watch")
    size = int(fx.sql("SELECT size FROM joblog.export_file ORDER BY job_id DESC LIMIT 1;"))
    nobody_waits(fx, export, size)
    others_wait(fx, export, size)


def main():
    args = ["--memory-mb=64", "--download-stall-ms=%d" % STALL_MS, "--export-owner-running=0", "--export-owner-per-day=0"]
    fx = Fixture(sys.argv[1], *args)
    try:
        fx.sql(SCHEMA)
        fx.write_types([BIG])
        fx.reload("export types loaded types=2")
        both(fx)
        place = os.path.join(fx.dir, "files")
        os.mkdir(place)
        fx.end()
        fx.start("--export-directory", place, *args)
        both(fx)
    except SystemExit:
        print(open(fx.dir + "/log").read()[-3000:], file=sys.stderr)
        raise
    finally:
        code = fx.stop()
    check("exit of joblogd", 0, code)
    print("all well")


main()
