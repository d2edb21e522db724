#!/usr/bin/python3
"""Finished files: downloads that are cut in the middle, many readers that do not read, files that are damaged, disks that are
full. test_export_files.py DIRECTORY-OF-PROGRAMS"""
import hashlib
import os
import re
import subprocess
import sys
import threading

from cut_proxy import CutProxy
from export_fixture import Fixture, begin, check, has, remains, show

# 12 MB, of which packing takes little away: more than what a socket and a client hold of a download that stands still.
SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.wide AS SELECT g AS id, (SELECT string_agg(md5((g * 100 + i)::text), '') FROM generate_series(1, 31) i) AS x
  FROM generate_series(1, 12000) g;
CREATE TABLE app.small AS SELECT g AS id FROM generate_series(1, 100) g;
"""
WIDE = {"name": "wide", "relation": "app.wide", "columns": [{"name": "id"}, {"name": "x"}], "order": {"column": "id"},
        "filters": [{"field": "id", "type": "integer", "operators": ["at_most"]}]}
SMALL = {"name": "small", "relation": "app.small", "columns": [{"name": "id"}], "order": {"column": "id"}}
MIB = 1 << 20


class Disk:
    """A file system of a few MiB for a directory. Where that is not ours to make, a limit on the size of files of a process
    stands for it: what is written beyond is refused in the same way."""

    def __init__(self, path, size, owner):
        self.path = path
        os.makedirs(path, exist_ok=True)
        os.chown(path, owner, -1)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=0700,uid=%d" % (size, owner), "tmpfs", path],
                              stderr=subprocess.DEVNULL)
        self.is_real = done.returncode == 0

    def used(self):
        st = os.statvfs(self.path)
        return (st.f_blocks - st.f_bfree) * st.f_frsize

    def end(self):
        if self.is_real:
            subprocess.run(["umount", "-l", self.path], check=True)
            self.is_real = False


def whole(fx, kind="wide", *args):
    """A finished export and its bytes."""
    export = begin(fx, kind, "--watch", *args)
    done = fx.joblog("export", "download", export, "--output", "-")
    check("download " + done.stderr.decode(), 0, done.returncode)
    check("its sum", show(fx, export)["file"]["sha256"], hashlib.sha256(done.stdout).hexdigest())
    return export, done.stdout


def cuts(fx, export, data):
    """Into a file and into a pipe, each over connections that break three times: no byte is lost, none comes twice. Before the
    first byte a download is a call as any other, which is repeated for as long as --timeout says; a reset takes with it what
    the client has not read yet, so that may be so at each of the cuts. What goes over the wire is packed, to half of it."""
    for n, (target, first) in enumerate(((fx.dir + "/cut", MIB), ("-", 100000))):
        proxy = CutProxy(fx.address, cuts=[first, 3 * MIB // 2, 2 * MIB])
        done = fx.joblog("--server", proxy.address, "--timeout", "60s", "export", "download", export, "--output", target)
        check("exit over cuts: " + done.stderr.decode(), 0, done.returncode)
        check("cuts", 3, proxy.n_cuts)
        check("bytes over cuts %d" % n, True, data == (done.stdout if target == "-" else open(target, "rb").read()))
        check("no part is left", False, os.path.exists(target + ".part"))
        proxy.end()


def the_server_is_killed(fx, export, data):
    """While the reader stands still in the middle of the file."""
    down = fx.popen("export", "download", export, "--output", "-")
    first = down.stdout.read(MIB)
    fx.server.kill()
    fx.server.wait()
    fx.start(*fx.args)
    rest = down.stdout.read()
    err = down.stderr.read()
    check("exit over a kill: " + err.decode(), 0, down.wait())
    check("bytes over a kill", True, data == first + rest)


def a_save_that_is_broken_off(fx, export, data):
    """What it has left is gone on with; what lies there of another file is found out and thrown away."""
    path = fx.dir + "/kept"
    with open(path + ".part", "wb") as f:
        f.write(data[:7 * MIB + 1])
    proxy = CutProxy(fx.address)
    done = fx.joblog("--server", proxy.address, "export", "download", export, "--output", path)
    check("exit of the rest: " + done.stderr.decode(), 0, done.returncode)
    check("bytes of both", True, data == open(path, "rb").read())
    proxy.end()
    with open(path + ".part", "wb") as f:
        f.write(b"x" * MIB)
    os.unlink(path)
    done = fx.joblog("export", "download", export, "--output", path)
    check("exit over a foreign part: " + done.stderr.decode(), 0, done.returncode)
    check("bytes over a foreign part", True, data == open(path, "rb").read())


def resident(fx):
    with open("/proc/%d/status" % fx.server.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


def readers_that_do_not_read(fx, export, data):
    """Chunks of all of them together have an eighth of 64 MiB. Without that, each would hold three chunks of 512 KiB."""
    n = 20
    before = resident(fx)
    downs = [fx.popen("export", "download", export, "--output", "-") for _ in range(n)]
    firsts = [down.stdout.read(65536) for down in downs]
    grown = resident(fx) - before
    check("memory for %d readers: %.1f MiB" % (n, grown / MIB), True, grown < 20 * MIB)
    check("another call is answered", 0, fx.joblog("export", "list").returncode)
    rests = [None] * n

    def read(i):
        rests[i] = downs[i].stdout.read()

    threads = [threading.Thread(target=read, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, down in enumerate(downs):
        err = down.stderr.read()
        check("exit of reader %d: %s" % (i, err.decode()), 0, down.wait())
        check("bytes of reader %d" % i, True, data == firsts[i] + rests[i])
    print("memory for %d readers: %.1f MiB" % (n, grown / MIB))


def refused(fx, export, what, words):
    """A damaged file is never offered as a whole one; what came before the damage is kept."""
    path = fx.dir + "/damaged"
    done = fx.joblog("export", "download", export, "--output", path)
    check("exit with %s: %s" % (what, done.stderr.decode()), 5, done.returncode)
    has("words with " + what, words, done.stderr.decode())
    check("no file with " + what, False, os.path.exists(path))
    pipe = fx.joblog("export", "download", export, "--output", "-")
    check("exit of a pipe with " + what, 5, pipe.returncode)
    if os.path.exists(path + ".part"):
        os.unlink(path + ".part")


def damage(fx, export, data):
    """In the directory: torn, changed, not there, and then as it was."""
    name = [n for n in os.listdir(fx.files) if n.startswith(export + "-")][0]
    path = os.path.join(fx.files, name)
    with open(path, "rb") as f:
        kept = f.read()
    frame = len(kept) // (len(data) // (512 * 1024) + 1)
    for what, harmed in (("the last chunk cut", kept[:-1000]), ("half of it gone", kept[:len(kept) // 2]),
                         ("whole chunks gone", kept[:frame * 3]), ("nothing left in it", b""),
                         ("a bit that is another", kept[:5 * MIB] + bytes([kept[5 * MIB] ^ 1]) + kept[5 * MIB + 1:]),
                         ("zeros, as after a crash", kept[:6 * MIB] + bytes(MIB) + kept[7 * MIB:])):
        with open(path, "wb") as f:
            f.write(harmed)
        refused(fx, export, what, "damaged")
    os.unlink(path)
    refused(fx, export, "no file", "damaged")
    with open(path, "wb") as f:
        f.write(kept)
    done = fx.joblog("export", "download", export, "--output", "-")
    check("whole again", (0, True), (done.returncode, done.stdout == data))


def fails(fx, export, words):
    check("exit of the watch", 1, fx.joblog("export", "watch", export).returncode)
    now = show(fx, export)
    check("status", "failed", now["job"]["status"])
    check("file", "none", now["file_state"])
    check("attempts", 2, now["job"]["attempt"])
    has("error", words, now["job"]["error"]["message"])
    done = fx.joblog("export", "download", export, "--output", "-")
    check("download of what failed", (5, b""), (done.returncode, done.stdout))


def limit_files(pid, size):
    subprocess.run(["prlimit", "--pid", str(pid), "--fsize=%s:" % size], check=True)


def a_full_disk_in_the_directory(fx, disk):
    """Fails the export, and the room is given back: the next one that fits is well."""
    if not disk.is_real:
        limit_files(fx.server.pid, 2 * MIB)
    before = sorted(os.listdir(fx.files)), disk.used()
    fails(fx, begin(fx, "wide"), "no room left")
    check("files and room", before[0], sorted(os.listdir(fx.files)))
    if disk.is_real:
        check("room", before[1], disk.used())
    check("remains", 0, remains(fx))
    whole(fx, "small")
    if not disk.is_real:
        limit_files(fx.server.pid, "unlimited")


def a_full_disk_of_the_database(fx):
    """Its chunks lie in a table space of 4 MiB."""
    disk = Disk("/tmp/joblog-space.%d" % os.getpid(), 4 * MIB, os.stat(fx.dir + "/data/pg").st_uid)
    try:
        if disk.is_real:
            fx.sql("CREATE TABLESPACE small LOCATION '%s';" % disk.path)
            fx.sql("TRUNCATE joblog.export_chunk; ALTER TABLE joblog.export_chunk SET TABLESPACE small;"
                   "ALTER INDEX joblog.export_chunk_pkey SET TABLESPACE small;")
        else:
            cluster = fx.sql("SELECT pg_postmaster_start_time() IS NOT NULL;") and open(fx.dir + "/data/pg/postmaster.pid")
            limit_files(int(cluster.readline()), 2 * MIB)  # new backends inherit it
        kept, data = whole(fx, "wide", "-f", "id=1000")
        fx.sql("VACUUM joblog.export_chunk;")
        before = disk.used()
        spare = disk.path + "/spare"  # an operator's: vacuum needs some pages for its maps where no page is left
        with open(spare, "wb") as f:
            f.write(bytes(256 * 1024))
        fails(fx, begin(fx, "wide"), "room")
        check("remains", 0, remains(fx))
        os.unlink(spare)
        fx.sql("VACUUM joblog.export_chunk;")  # as autovacuum does in its time
        if disk.is_real:
            check("room given back: %d of %d" % (disk.used(), before), True, disk.used() < before + 256 * 1024)
        whole(fx, "small")
        done = fx.joblog("export", "download", kept, "--output", "-")
        check("the file of before", (0, data), (done.returncode, done.stdout))
        check("the server is well", 0, fx.joblog("list").returncode)
        if disk.is_real:
            fx.sql("ALTER TABLE joblog.export_chunk SET TABLESPACE pg_default;"
                   "ALTER INDEX joblog.export_chunk_pkey SET TABLESPACE pg_default;")
            fx.sql("DROP TABLESPACE small;")
    finally:
        disk.end()
        if os.path.exists(disk.path):
            os.rmdir(disk.path)


def the_directory_of_another_database(fx, export, data):
    """Its files are nobody's by the books of a database that is pointed at it by mistake, which must not sweep them."""
    before = sorted(os.listdir(fx.files))
    other = subprocess.run([fx.bin + "/joblogd", "--embedded", fx.dir + "/other", "--listen", "127.0.0.1:0", "--export-directory",
                            fx.files], env=fx.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    check("refused: " + other.stdout[-300:], True, other.returncode not in (0, -6, -11))
    has("why", "is that of another database", other.stdout)
    check("files beside it", before, sorted(os.listdir(fx.files)))
    check("exit of joblogd", 0, fx.end())
    fx.start(*fx.args)
    check("the same again", data, fx.joblog("export", "download", export, "--output", "-").stdout)


def main():
    args = ["--export-attempts=2", "--memory-mb=64", "--export-owner-running=0"]
    fx = Fixture(sys.argv[1], *args)
    fx.args, fx.files, disk = args, os.path.join(fx.dir, "files"), None
    try:
        fx.sql(SCHEMA)
        fx.write_types([WIDE, SMALL])
        fx.reload("export types loaded types=3")
        export, data = whole(fx)
        cuts(fx, export, data)
        a_save_that_is_broken_off(fx, export, data)
        readers_that_do_not_read(fx, export, data)
        the_server_is_killed(fx, export, data)
        a_full_disk_of_the_database(fx)
        fx.end()
        disk = Disk(fx.files, 16 * MIB, os.getuid())
        fx.args += ["--export-directory", fx.files]
        fx.start(*fx.args)
        export, data = whole(fx)
        cuts(fx, export, data)
        the_directory_of_another_database(fx, export, data)
        damage(fx, export, data)
        a_full_disk_in_the_directory(fx, disk)
    except SystemExit:
        print(open(fx.dir + "/log").read()[-3000:], file=sys.stderr)
        raise
    finally:
        code = fx.end()
        if disk:
            disk.end()
        fx.clean()
    check("exit of joblogd", 0, code)
    print("all well")


main()
