#!/usr/bin/python3
"""Limits of an owner, and files in a directory, through the command line.
test_export_limits.py DIRECTORY-OF-PROGRAMS"""
import json
import os
import subprocess
import sys

import grpc
from export_fixture import BIG, PEOPLE, SCHEMA, SLOW, SLOW_FILE, Fixture, Gate, begin, check, has, rows_of, show


def limits(fx):
    fx.gate.shut()
    children = [fx.popen("export", "start", "slow", "--actor", "erin") for _ in range(6)]
    started = [out.split()[0].decode() for out in (child.communicate()[0] for child in children) if out]
    codes = [child.returncode for child in children]
    check("one at a time", (1, [0] + 5 * [5]), (len(started), sorted(codes)))
    for export in started:
        fx.joblog("export", "cancel", export, "--actor", "erin")
        fx.joblog("export", "watch", export, "--actor", "erin")
    first = begin(fx, "slow", "--actor", "dora", "--request-id", "r2")
    check("no more than one", 5, fx.joblog("export", "start", "slow", "--actor", "dora").returncode)
    check("a repetition is answered", first, begin(fx, "slow", "--actor", "dora", "--request-id", "r2"))
    fx.joblog("export", "cancel", first, "--actor", "dora")
    fx.joblog("export", "watch", first, "--actor", "dora")
    fx.gate.open()
    check("room for one", 0, fx.joblog("export", "start", "big2", "--actor", "fred", "--watch").returncode)
    done = fx.joblog("export", "start", "big2", "--actor", "fred", "--output", "-")
    check("more bytes than may be", 1, done.returncode)
    has("its words", "as much room as they may", done.stderr.decode())
    check("remains of it", 1, len([name for name in os.listdir(fx.dir + "/files") if name.endswith((".data", ".part"))]))


def a_retry_is_a_start(fx):
    """Of those at a time and of those of a day; not of an administrator's, in its own name."""
    def retry(export, *args):
        return fx.joblog("retry", export, *args)

    def end(export):
        check("cancel", 0, fx.joblog("export", "cancel", export, *rita).returncode)
        fx.joblog("export", "watch", export, *rita)

    def refused(export, words):
        done = retry(export, *rita)
        check("a retry too many", 5, done.returncode)
        has("its words", words, done.stderr.decode())
        check("what was not retried", "cancelled", show(fx, export)["job"]["status"])

    rita = ["--actor", "rita"]
    fx.gate.shut()
    ids = []
    for _ in range(2):
        ids.append(begin(fx, "slow", *rita))
        end(ids[-1])
    check("retry within the limit", 0, retry(ids[0], *rita).returncode)
    refused(ids[1], "1 of your exports have not ended yet: no more at a time")
    check("nor a start", 5, fx.joblog("export", "start", "slow", *rita).returncode)
    has("a retry of one that runs is told that", "is running: cannot", retry(ids[0], *rita).stderr.decode())
    end(ids[0])
    for i in (1, 0):
        check("retry, one at a time", 0, retry(ids[i], *rita).returncode)
        end(ids[i])
    refused(ids[1], "5 of your exports were started within 24 hours: no more for now")
    has("nor a start", "5 of your exports", fx.joblog("export", "start", "people", *rita).stderr.decode())
    check("retry by an administrator", 0, retry(ids[1]).returncode)
    check("and another", 0, retry(ids[0]).returncode)
    fx.gate.open()
    for export in ids:
        check("end of it", 0, fx.joblog("export", "watch", export, *rita).returncode)


def damage(path, at):
    """Turns one byte of a file round."""
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 255]))


def a_limit_of_the_day(fx):
    """Counts what was started, however it ended; a repetition is none, and the day of one owner is not that of another."""
    ids = [begin(fx, "people", "--actor", "hugo", "--watch", "--request-id", "day%d" % i) for i in range(5)]
    done = fx.joblog("export", "start", "people", "--actor", "hugo", "--output", "-")
    check("the sixth of a day", (5, b""), (done.returncode, done.stdout))
    has("its words", "5 of your exports were started within 24 hours", done.stderr.decode())
    check("a repetition is answered", ids[0], begin(fx, "people", "--actor", "hugo", "--request-id", "day0"))
    check("deleting one does not help", 0, fx.joblog("export", "delete", ids[0], "--actor", "hugo").returncode)
    check("no more for now", 5, fx.joblog("export", "start", "people", "--actor", "hugo").returncode)
    check("another owner", 0, fx.joblog("export", "start", "people", "--actor", "ivy", "--watch").returncode)
    check("what there is stays", 0, fx.joblog("export", "download", ids[1], "--actor", "hugo", "--output", "-").returncode)


def a_directory(fx):
    """The same files from a directory; a full disk fails the export, and the room is given back."""
    place, gina = fx.dir + "/files", ["--actor", "gina"]
    check("file from a directory", SLOW_FILE, fx.export("slow", *gina))
    n_files = len(os.listdir(place))
    subprocess.run(["prlimit", "--pid", str(fx.server.pid), "--fsize=1000000:"], check=True)
    done = fx.joblog("export", "start", "big2", "--output", "-", *gina)
    check("a full disk", 1, done.returncode)
    has("its words", "no room left", done.stderr.decode())
    check("files after a full disk", n_files, len(os.listdir(place)))
    subprocess.run(["prlimit", "--pid", str(fx.server.pid), "--fsize=unlimited:"], check=True)
    check("room again", 100000, len(rows_of(fx.export("big2", *gina))))
    export = json.loads(fx.joblog("export", "list", "--json", *gina).stdout.splitlines()[0])["id"]
    largest = place + "/" + [name for name in os.listdir(place) if name.startswith("%s-" % export)][0]
    damage(largest, 8 * (512 << 10))
    done = fx.joblog("export", "download", str(export), "--output", "-", *gina)
    check("a damaged file", 5, done.returncode)
    has("its words", "damaged", done.stderr.decode())
    os.truncate(largest, 3 * (512 << 10))
    done = fx.joblog("export", "download", str(export), "--output", "-", *gina)
    check("a file that is cut off", 5, done.returncode)
    has("its words", "damaged", done.stderr.decode())
    check("delete", 0, fx.joblog("export", "delete", str(export), *gina).returncode)
    check("files after a deletion", n_files, len(os.listdir(place)))


def as_many_as_the_limit(fx):
    """Of an owner's starts that come at once as many as may be, and no more, whatever overtakes what; and none of them twice."""
    fx.gate.shut()
    with open(fx.env["JOBLOG_TOKEN_FILE"]) as f:
        token = ("authorization", "Bearer " + f.read().strip())
    with grpc.insecure_channel(fx.address) as channel:
        start = channel.unary_unary("/joblog.v1.ExportService/StartExport")
        for owner in ("jane", "kate", "lucy", "mary"):
            calls = [start.future(b"\x0a\x04slow", timeout=60, metadata=[token, ("joblog-actor", owner)]) for _ in range(20)]
            codes = [call.code() for call in calls]
            check("starts at once of " + owner, 12 * [grpc.StatusCode.OK] + 8 * [grpc.StatusCode.RESOURCE_EXHAUSTED],
                  sorted(codes, key=lambda code: code.value[0]))
            check("the number that is told", {"12 of your exports have not ended yet: no more at a time"},
                  {call.details() for call in calls if call.code() != grpc.StatusCode.OK})


def main():
    fx = Fixture(sys.argv[1])
    with fx:
        fx.sql(SCHEMA)
        fx.end()
        fx.write_types([PEOPLE, SLOW, dict(BIG, name="big2")])
        os.mkdir(fx.dir + "/files")
        fx.start("--export-owner-running=1", "--export-owner-per-day=5", "--export-owner-megabytes=10", "--export-attempts=2",
                 "--export-directory", fx.dir + "/files")
        fx.gate = Gate(fx)
        limits(fx)
        a_limit_of_the_day(fx)
        a_retry_is_a_start(fx)
        a_directory(fx)
        fx.gate.end()
        fx.end()
        fx.start("--export-owner-running=12", "--export-directory", fx.dir + "/files")
        fx.gate = Gate(fx)
        as_many_as_the_limit(fx)
        fx.gate.end()


main()
