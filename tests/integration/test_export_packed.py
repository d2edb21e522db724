#!/usr/bin/python3
"""Downloads that come packed: what a client that asked for it gets on the wire, what one that did not gets, and what the
library makes of a server that lies. test_export_packed.py DIRECTORY-OF-PROGRAMS"""
import concurrent.futures
import os
import subprocess
import sys

import grpc
from export_fixture import BIG, SCHEMA, Fixture, begin, check, has

CHUNK = 512 * 1024
DOWNLOAD = "/joblog.v1.ExportService/DownloadExport"


# ---- the wire format, as it is written down ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n & ((1 << 64) - 1))


def text(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def fields_of(data):
    """Numbers and byte strings by field number."""
    out, at = {}, 0

    def take():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        tag = take()
        out[tag >> 3] = take()
        if tag & 7 == 2:
            out[tag >> 3] = data[at:at + out[tag >> 3]]
            at += len(out[tag >> 3])
    return out


def crc32c(data):
    if not crc32c.table:
        for i in range(256):
            for _ in range(8):
                i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
            crc32c.table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ crc32c.table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


crc32c.table = []


def zstd(data, *how):
    return subprocess.run(["zstd", "-qc", *how], input=data, stdout=subprocess.PIPE, check=True).stdout


class Piece:
    def __init__(self, message):
        fields = fields_of(message)
        self.offset, self.data, self.crc = fields.get(2, 0), fields.get(3, b""), fields.get(4, 0)
        self.unpacked_size = fields.get(6, 0)

    def plain(self):
        if not self.unpacked_size:
            return self.data
        out = zstd(self.data, "-d")
        check("size of a piece", self.unpacked_size, len(out))
        return out


# ---- on the wire ----

class Caller:
    def __init__(self, fx):
        self.channel = grpc.insecure_channel(fx.address)
        with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
            self.metadata = [("authorization", "Bearer " + f.read().strip())]

    def download(self, export, offset=0, packed=True):
        request = number(1, int(export)) + number(2, offset) + number(5, packed)
        return [Piece(m) for m in self.channel.unary_stream(DOWNLOAD)(request, timeout=60, metadata=self.metadata)]


def joined(pieces, offset=0):
    out = b""
    for piece in pieces:
        check("offset", offset + len(out), piece.offset)
        out += piece.plain()
    return out


def the_same_bytes(caller, export):
    plain = caller.download(export, packed=False)
    check("nothing packed unasked", {0}, {piece.unpacked_size for piece in plain})
    whole = joined(plain)
    packed = caller.download(export)
    check("all of it packed", [CHUNK] * (len(whole) // CHUNK) + [len(whole) % CHUNK], [p.unpacked_size for p in packed])
    check("the same file", True, joined(packed) == whole)
    check("a fraction of it", True, sum(len(piece.data) for piece in packed) < 0.9 * len(whole))
    check("sum of a piece", crc32c(packed[-1].plain()), packed[-1].crc)
    for offset in (1, CHUNK - 1, CHUNK, CHUNK + 5, len(whole) - 1, len(whole)):
        pieces = caller.download(export, offset)
        check("from %d" % offset, True, joined(pieces, offset) == whole[offset:])
        in_the_middle = offset % CHUNK != 0 or offset == len(whole)
        check("a piece that begins in the middle of a chunk", in_the_middle, pieces[0].unpacked_size == 0)
    return whole


def what_does_not_get_shorter(fx, caller):
    export = begin(fx, "big", "--compression", "gzip", "--watch")
    check("packed twice", {0}, {piece.unpacked_size for piece in caller.download(export)})


def damage(fx, caller, export):
    """Of what is sent packed the client is the first to look at it, and then asks for it unpacked: so the server says what it
    is. What cannot be unpacked to its size is not sent at all."""
    fx.sql("CREATE TABLE kept AS SELECT * FROM joblog.export_chunk WHERE job_id = %s;" % export)
    for what, change in (("the bytes", "data = set_byte(data, 5000, get_byte(data, 5000) # 255)"), ("the sum", "crc32c = crc32c # 1"),
                         ("the size", "plain_bytes = plain_bytes - 1")):
        fx.sql("UPDATE joblog.export_chunk SET %s WHERE job_id = %s AND seq = 1;" % (change, export))
        done = fx.joblog("export", "download", export, "--output", "-")
        check(what, CHUNK, len(done.stdout))
        has(what, "chunk 1 of the file is damaged", done.stderr.decode())
        if what == "the size":
            try:
                caller.download(export)
                sys.exit("a chunk with a wrong size was sent")
            except grpc.RpcError as e:
                check(what, grpc.StatusCode.DATA_LOSS, e.code())
        fx.sql("UPDATE joblog.export_chunk c SET data = k.data, crc32c = k.crc32c, plain_bytes = k.plain_bytes FROM kept k"
               " WHERE k.job_id = c.job_id AND k.seq = c.seq;")
    check("whole again", 0, fx.joblog("export", "download", export, "--output", "-").returncode)


def from_a_directory(fx, whole):
    place = os.path.join(fx.dir, "files")
    os.mkdir(place)
    fx.end()
    fx.start("--export-directory", place)
    export, caller = begin(fx, "big", "--watch"), Caller(fx)
    pieces = caller.download(export)
    check("of a directory", True, joined(pieces) == whole)
    check("as they lie there", {0}, {piece.unpacked_size for piece in pieces})
    check("and not packed", True, joined(caller.download(export, packed=False)) == whole)
    harmed_in_the_directory(fx, caller, export, place)
    caller.channel.close()


def harmed_in_the_directory(fx, caller, export, place):
    """Who checks gets what lies there, with the sum of what was written; who does not is told by the server, and so is who
    begins in the middle of a chunk."""
    path = os.path.join(place, [name for name in os.listdir(place) if name.startswith(export + "-")][0])
    with open(path, "r+b") as f:
        f.seek(2 * (16 + CHUNK) + 16 + 5)
        kept = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([kept[0] ^ 1]))
    sums = [crc32c(piece.data) == piece.crc for piece in caller.download(export)[:4]]
    check("sums of the first pieces", [True, True, False, True], sums)
    for offset, packed in ((0, False), (2 * CHUNK + 1, True)):
        try:
            caller.download(export, offset, packed)
            sys.exit("a damaged chunk was sent as a good one")
        except grpc.RpcError as e:
            check("from %d" % offset, grpc.StatusCode.DATA_LOSS, e.code())
    done = fx.joblog("export", "download", export, "--output", "-")
    check("what came before", 2 * CHUNK, len(done.stdout))
    has("the command line", "chunk 2 of the file is damaged", done.stderr.decode())


# ---- a server that lies ----

class Liar:
    """Answers DownloadExport with what it is given, and keeps what it was asked."""

    def __init__(self):
        self.pieces, self.asked = [], []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        export = text(1, number(1, 7) + number(4, 3)) + number(11, 3)
        handlers = {"DownloadExport": grpc.unary_stream_rpc_method_handler(self.download),
                    "GetExport": grpc.unary_unary_rpc_method_handler(lambda request, context: export)}
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("joblog.v1.ExportService", handlers)])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def download(self, request, _):
        self.asked.append(fields_of(request).get(5, 0))
        return iter(self.pieces)

    def tell(self, fx, piece, size):
        """One piece of a file of `size` bytes, to the command line."""
        file = number(3, size) + number(7, 1)
        self.pieces, self.asked = [text(1, file) + piece], []
        args = [fx.bin + "/joblog", "--server", "127.0.0.1:%d" % self.port, "export", "download", "7", "--output", "-"]
        return subprocess.run(args, env=fx.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def lies(fx):
    liar, good = Liar(), b"some bytes of a file\n" * 1000
    packed, sums = zstd(good), number(4, crc32c(good))
    bomb = zstd(bytes(64 << 20))
    cases = {"more than it says": text(3, bomb) + number(6, len(good)), "as much as it says, and that is too much":
             text(3, bomb) + number(6, 64 << 20), "less than it says": text(3, packed) + number(6, len(good) + 1),
             "a size below 0": text(3, packed) + number(6, -1), "no Zstandard": text(3, good) + number(6, len(good)),
             "cut short": text(3, packed[:-1]) + number(6, len(good)), "of a wrong sum":
             text(3, packed) + number(6, len(good)) + number(4, 7)}
    for what, piece in cases.items():
        done = liar.tell(fx, (b"" if "sum" in what else sums) + piece, len(good))
        check(what + ": nothing is taken " + done.stderr.decode(), (b"", True), (done.stdout, done.returncode > 0))
        has(what, "DATA_LOSS", done.stderr.decode())
        check(what + ": asked packed once", 1, liar.asked[0])
        check(what + ": then plain", 0, sum(liar.asked[1:]))
    liar.server.stop(None)


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-owner-per-day=0")
    with fx:
        fx.sql(SCHEMA)
        fx.write_types([BIG])
        fx.reload("export types loaded types=2")
        export, caller = begin(fx, "big", "--watch"), Caller(fx)
        whole = the_same_bytes(caller, export)
        what_does_not_get_shorter(fx, caller)
        damage(fx, caller, export)
        caller.channel.close()
        lies(fx)
        from_a_directory(fx, whole)


main()
