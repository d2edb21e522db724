#!/usr/bin/python3
"""ExportService as a client that keeps to no contract calls it: raw bytes over stock gRPC, each answered with the right code,
without a job made of it and without harm to the server. test_export_wire.py DIRECTORY-OF-PROGRAMS"""
import random
import sys

import grpc
from export_fixture import BIG, PEOPLE, SCHEMA, SLOW, Fixture, Gate, begin, check

METHODS = {"StartExport": False, "GetExport": False, "ListExports": False, "WatchExport": True, "CancelExport": False,
           "DeleteExport": False, "DownloadExport": True, "ListExportTypes": False}
BAD, GONE, RANGE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE
MIN, MAX = -(1 << 63), (1 << 63) - 1


# ---- the wire format, as it is written down ----

def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    data = data if isinstance(data, bytes) else data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def condition(field="name", op=0, values=("x",)):
    return text(2, text(1, field) + number(2, op) + b"".join(text(3, v) for v in values))


PEOPLE_1 = text(1, "people")


class Caller:
    def __init__(self, fx):
        self.channel = grpc.insecure_channel(fx.address, options=[("grpc.max_send_message_length", -1)])
        with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
            self.metadata = [("authorization", "Bearer " + f.read().strip())]

    def call(self, method, data, timeout=60):
        """The status code, and the bytes that came: of a unary call one message, of a stream as many as it had."""
        path = "/joblog.v1.ExportService/" + method
        try:
            if not METHODS[method]:
                return grpc.StatusCode.OK, [self.channel.unary_unary(path)(data, timeout=timeout, metadata=self.metadata)]
            return grpc.StatusCode.OK, list(self.channel.unary_stream(path)(data, timeout=timeout, metadata=self.metadata))
        except grpc.RpcError as e:
            return e.code(), e.details()


def refused(caller, method, data, code, what):
    got = caller.call(method, data)
    check("%s with %s: %s" % (method, what, got[1]), code, got[0])


def what_is_no_message(caller):
    """Tags without values, lengths past the end, groups, fields of another wire type than they have."""
    broken = {"a tag alone": b"\x0a", "a length past the end": b"\x0a\x7fab", "a length of 2^63": b"\x0a" + varint(1 << 63),
              "a varint without end": b"\x08" + b"\xff" * 12, "field number 0": b"\x00\x01", "wire type 6": b"\x0e\x01",
              "wire type 7": b"\x0f\x01", "ones": b"\xff" * 100, "a group that does not end": b"\x0b\x0b\x0b",
              "a fixed64 cut short": b"\x09\x01\x02"}
    for method in METHODS:
        for what, data in broken.items():
            refused(caller, method, data, BAD, what)
    for method in ("GetExport", "WatchExport", "CancelExport", "DeleteExport", "DownloadExport"):
        refused(caller, method, text(1, "7"), BAD, "a text for an id")
    refused(caller, "StartExport", number(1, 7), BAD, "a number for a type")
    refused(caller, "StartExport", PEOPLE_1 + text(3, "csv"), BAD, "a text for a format")
    refused(caller, "StartExport", PEOPLE_1 + number(2, 7), BAD, "a number for a filter")
    refused(caller, "StartExport", PEOPLE_1 + text(2, b"\xff\xff\xff"), BAD, "noise for a filter")


def what_is_no_text(caller):
    for what, bad in (("bytes that are no UTF-8", b"a\xff"), ("a surrogate", b"\xed\xa0\x80"), ("an overlong slash", b"\xc0\xaf"),
                      ("a NUL", b"a\0b")):
        refused(caller, "StartExport", text(1, bad), BAD, what + " for a type")
        refused(caller, "StartExport", PEOPLE_1 + condition("name", 1, [bad]), BAD, what + " for a value")
        refused(caller, "StartExport", PEOPLE_1 + condition(bad), BAD, what + " for a field")
        refused(caller, "StartExport", PEOPLE_1 + text(6, bad), BAD, what + " for a column")
        refused(caller, "StartExport", PEOPLE_1 + text(4, bad), BAD, what + " for a name")
        refused(caller, "StartExport", PEOPLE_1 + text(9, text(4, bad)), BAD, what + " for NULL")
        refused(caller, "ListExports", text(2, bad), BAD, what + " for a page token")
        refused(caller, "CancelExport", number(1, 7) + text(2, bad), BAD, what + " for a reason")


def numbers_that_mean_nothing(caller):
    for n in (-1, 4, 99, 2147483647, -2147483648):
        refused(caller, "StartExport", PEOPLE_1 + number(3, n), BAD, "format %d" % n)
        refused(caller, "StartExport", PEOPLE_1 + number(8, n), BAD, "compression %d" % n)
    for n in (-1, 11, 99, 2147483647, -2147483648):
        refused(caller, "StartExport", PEOPLE_1 + condition(op=n), BAD, "operator %d" % n)
    for n in (0, -1, MIN):
        for method in ("GetExport", "WatchExport", "CancelExport", "DeleteExport", "DownloadExport"):
            refused(caller, method, number(1, n), BAD, "id %d" % n)
    for n in (1, MAX):
        for method in ("GetExport", "WatchExport", "CancelExport", "DeleteExport", "DownloadExport"):
            refused(caller, method, number(1, n), GONE, "id %d" % n)
    for n in (-1, -2147483648):
        refused(caller, "ListExports", number(1, n), BAD, "page size %d" % n)
    refused(caller, "ListExports", text(2, "no token of ours"), BAD, "a page token of nobody's")


def too_much(caller):
    refused(caller, "StartExport", PEOPLE_1 + condition() * 51, BAD, "51 filters")
    refused(caller, "StartExport", PEOPLE_1 + condition("name", 2, ["x"] * 101), BAD, "101 values")
    refused(caller, "StartExport", PEOPLE_1 + condition("name", 1, ["x"] * 2), BAD, "2 values for one")
    refused(caller, "StartExport", PEOPLE_1 + condition("name", 1, ["x" * 501]), BAD, "a value of 501 bytes")
    refused(caller, "StartExport", PEOPLE_1 + condition("id", 7, ["1"]), BAD, "one value for two")
    refused(caller, "StartExport", PEOPLE_1 + text(6, "id") * 1001, BAD, "1001 columns")
    refused(caller, "StartExport", PEOPLE_1 + text(7, text(1, "id")) * 6, BAD, "6 orders")
    refused(caller, "StartExport", PEOPLE_1 + text(4, "x" * 201), BAD, "a name of 201 bytes")
    refused(caller, "StartExport", PEOPLE_1 + text(5, "x" * 129), BAD, "a request id of 129 bytes")
    refused(caller, "StartExport", PEOPLE_1 + text(10, "x" * 36), BAD, "a language of 36 bytes")
    refused(caller, "StartExport", PEOPLE_1 + text(9, text(1, ",,")), BAD, "two delimiters")
    refused(caller, "StartExport", text(1, "x" * 300), BAD, "a type of 300 bytes")
    refused(caller, "StartExport", text(1, "x" * (8 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, "a type of 8 MiB")
    refused(caller, "CancelExport", number(1, 7) + text(2, "x" * 501), BAD, "a reason of 501 bytes")


def offsets(caller, export, size):
    for n in (-1, MIN):
        refused(caller, "DownloadExport", number(1, export) + number(2, n), BAD, "offset %d" % n)
    for n in (size + 1, 1 << 40, MAX):
        refused(caller, "DownloadExport", number(1, export) + number(2, n), RANGE, "offset %d" % n)
    for n in (-1, 1, MAX):
        refused(caller, "DownloadExport", number(1, export) + number(2, size // 2) + number(4, n),
                grpc.StatusCode.ABORTED, "attempt %d" % n)
    refused(caller, "WatchExport", number(1, export) + number(2, -1), BAD, "revision -1")
    code, messages = caller.call("DownloadExport", number(1, export) + number(2, size))
    check("offset at the end", (grpc.StatusCode.OK, 1), (code, len(messages)))
    code, messages = caller.call("WatchExport", number(1, export) + number(2, MAX))
    check("a revision of the future", (grpc.StatusCode.OK, 1), (code, len(messages)))


def offsets_of_one_that_runs(fx, caller):
    """Chunks have numbers of 31 bits: an offset behind them is not that of the bytes at its lower ones."""
    gate = Gate(fx)
    gate.shut()
    export = begin(fx, "slow")
    for n in (1 << 50, 1 << 51, MAX):
        refused(caller, "DownloadExport", number(1, int(export)) + number(2, n) + number(3, 1), RANGE, "offset %d" % n)
    gate.open()
    check("its end", 0, fx.joblog("export", "watch", export).returncode)
    gate.end()


def what_is_not_known(caller):
    """Fields of a later version are no fault, and the last of a field that comes twice counts."""
    later = text(1000, "later") + number(1001, 7) + varint(1002 << 3 | 1) + bytes(8) + varint(1003 << 3 | 5) + bytes(4)
    code, _ = caller.call("ListExportTypes", later)
    check("fields of a later version", grpc.StatusCode.OK, code)
    code, _ = caller.call("ListExports", number(1, -1) + number(1, 5) + later)
    check("a field that comes twice", grpc.StatusCode.OK, code)


def noise(caller, seed):
    """Any bytes, and requests with any byte changed: an answer each, and never one that says that the server is at fault."""
    rnd = random.Random(seed)
    good = PEOPLE_1 + condition("name", 1, ["nobody of this name"]) + text(6, "id") + text(7, text(1, "id") + number(2, 1))
    fine = {grpc.StatusCode.OK, BAD, GONE, grpc.StatusCode.ABORTED, RANGE}
    for i in range(400):
        data = bytearray(good if i % 2 else rnd.randbytes(rnd.randrange(60)))
        for _ in range(rnd.randrange(1, 4) if i % 2 else 0):
            data[rnd.randrange(len(data))] = rnd.randrange(256)
        method = "StartExport" if i % 2 else rnd.choice(list(METHODS))
        code, words = caller.call(method, bytes(data))
        if code not in fine:
            sys.exit("seed %d: %s of %s: %s %s" % (seed, method, bytes(data), code, words))


def jobs(fx):
    return fx.sql("SELECT count(*) FROM joblog.job;").strip()


def main():
    seed = random.randrange(1 << 30)
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-owner-per-day=0")
    try:
        fx.sql(SCHEMA)
        fx.write_types([PEOPLE, BIG, SLOW])
        fx.reload("export types loaded types=4")
        export = begin(fx, "people", "--watch")
        size = int(fx.sql("SELECT size FROM joblog.export_file;"))
        caller = Caller(fx)
        offsets_of_one_that_runs(fx, caller)
        before = jobs(fx)
        what_is_no_message(caller)
        what_is_no_text(caller)
        numbers_that_mean_nothing(caller)
        too_much(caller)
        offsets(caller, int(export), size)
        what_is_not_known(caller)
        check("jobs made of what was refused", before, jobs(fx))
        noise(caller, seed)
        check("the server is the same", None, fx.server.poll())
        check("and well", 0, fx.joblog("export", "download", export, "--output", "-").returncode)
        caller.channel.close()
    except SystemExit:
        print(open(fx.dir + "/log").read()[-3000:], file=sys.stderr)
        raise
    finally:
        code = fx.stop()
    check("exit of joblogd", 0, code)
    print("seed %d: all well" % seed)


main()
