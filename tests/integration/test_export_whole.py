#!/usr/bin/python3
"""Exports as people use them, through the command line: downloads that follow, deletion, limits, rows of an owner, reload of
the types. test_export_whole.py DIRECTORY-OF-PROGRAMS"""
import json
import os
import subprocess
import sys

from export_fixture import (BIG, PEOPLE, SCHEMA, SLOW, SLOW_FILE, Fixture, Gate, begin, check, has, remains, rows_of, show,
                            until)


def following(fx):
    """Bytes come while rows are still written, then the end, and the whole is right."""
    fx.gate.shut()
    export = begin(fx, "slow")
    down = fx.popen("export", "download", export, "--follow", "--output", "-")
    first = down.stdout.read(100000)
    check("status while following", "running", show(fx, export)["job"]["status"])
    # Rows that are written are told within a moment: the state of the file follows from them.
    until("the file is being written", lambda: show(fx, export)["file_state"] == "writing")
    fx.gate.open()
    rest = down.stdout.read()  # not communicate(), which forgets what the reader has buffered
    err = down.stderr.read()
    check("end of following: " + err.decode(), 0, down.wait())
    check("what was followed", SLOW_FILE, first + rest)
    check("file at the end", "ready", show(fx, export)["file_state"])


def the_client_goes_away(fx):
    export = begin(fx, "big", "--watch")
    down = fx.popen("export", "download", export, "--output", "-")
    down.stdout.read(1000)
    down.kill()
    down.communicate()
    again = fx.joblog("export", "download", export, "--output", "-")
    check("the next download", 0, again.returncode)
    check("rows of it", 100001, again.stdout.count(b"\r\n"))
    return export


def deletion(fx, export):
    check("delete", 0, fx.joblog("export", "delete", export).returncode)
    check("state", "deleted", show(fx, export)["file_state"])
    check("chunks", "0", fx.sql("SELECT count(*) FROM joblog.export_chunk WHERE job_id = %s;" % export).strip())
    done = fx.joblog("export", "download", export, "--output", "-")
    check("download of it", 3, done.returncode)
    has("its words", "deleted", done.stderr.decode())
    check("delete again", 0, fx.joblog("export", "delete", export).returncode)
    fx.gate.shut()
    export = begin(fx, "slow")
    done = fx.joblog("export", "delete", export)
    check("delete of one that runs", 5, done.returncode)
    has("its words", "cancel it first", done.stderr.decode())
    check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    fx.joblog("export", "watch", export)
    check("state of one cancelled", "none", show(fx, export)["file_state"])
    check("remains of one cancelled", 0, remains(fx))
    fx.gate.open()


def operators(fx):
    for args, want in ((["-f", "words=fox AND jumping"], ["1000,the quick brown foxes jumped"]),
                       (["-f", "words=-fox quick"], []),
                       (["-f", "id:between=2,4"], ["2,name 2", "3,name 3", "4,name 4"]),
                       (["-f", "id:greater=299", "-f", "id:less=1000"], ["300,name 300"]),
                       (["-f", "name:prefix=name 29", "--order", "-id", "--columns", "id"],
                        ["299", "298", "297", "296", "295", "294", "293", "292", "291", "290", "29"])):
        check("rows of %s" % args, want, rows_of(fx.export("people", *args)))
    fx.export("people", "-f", "words=the")  # PostgreSQL gives a notice: no words to look for
    check("notices in the log", False, "NOTICE:" in open(fx.dir + "/log").read())


def rows_of_an_owner(fx):
    mine = rows_of(fx.export("people", "--actor", "ann", "--columns", "id"))
    check("rows of ann", [str(i) for i in range(3, 301, 3)] + ["1000"], mine)
    check("rows of nobody", [], rows_of(fx.export("people", "--actor", "carol")))
    check("rows of an administrator", 301, len(rows_of(fx.export("people"))))


def an_owner_column_that_came_later(fx):
    """What was started before the type had an owner column shows no more when it runs again."""
    slow = dict(SLOW, name="later")
    fx.write_types([PEOPLE, SLOW, BIG, slow])
    fx.reload("types=5")
    fx.gate.shut()
    export = begin(fx, "later", "--actor", "ann")
    check("cancel", 0, fx.joblog("export", "cancel", export, "--actor", "ann").returncode)
    fx.joblog("export", "watch", export, "--actor", "ann")
    fx.gate.open()
    fx.write_types([PEOPLE, SLOW, BIG, dict(PEOPLE, name="later", columns=[{"name": "id"}]), dict(BIG, name="more")])
    fx.reload("types=6")  # another number than before, as the server may tell once more of the file of before
    check("retry", 0, fx.joblog("retry", export, "--actor", "ann").returncode)
    done = fx.joblog("export", "download", export, "--actor", "ann", "--follow", "--output", "-")
    check("rows of ann, again", [str(i) for i in range(3, 301, 3)] + ["1000"], rows_of(done.stdout))
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


def with_the_role_exporter(fx):
    """All that the command line does with exports, with a token that may do nothing else."""
    path = fx.dir + "/exporter.token"
    made = fx.joblog("token", "create", "ann-key", "--role", "exporter", "--owner", "ann", "--output", path)
    check("token " + made.stderr.decode(), 0, made.returncode)
    fx.env["JOBLOG_TOKEN_FILE"], admin = path, fx.env["JOBLOG_TOKEN_FILE"]
    try:
        check("a job, which it may not see", 5, fx.joblog("list").returncode)
        has("names of columns", "columns       id integer, name text (not sortable)", fx.joblog("export", "types").stdout.decode())
        check("rows of ann", 101, len(rows_of(fx.export("people"))))
        export = begin(fx, "people", "--watch")
        check("watch", 0, fx.joblog("export", "watch", export).returncode)
        fx.gate.shut()
        export = begin(fx, "slow")
        watch = fx.popen("export", "watch", export, "--json")
        watch.stdout.readline()
        check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
        err = watch.communicate()[1].decode()
        check("watch of one cancelled", 1, watch.returncode)
        has("its words", "cancelled", err)
        fx.gate.open()
        check("its file", 0, fx.joblog("export", "delete", export).returncode)
        a_role_that_was_lost(fx)
    finally:
        fx.env["JOBLOG_TOKEN_FILE"] = admin


def a_role_that_was_lost(fx):
    """What the operator grants to others now is not downloaded by those who started it before."""
    export = begin(fx, "people", "--watch")
    check("download", 0, fx.joblog("export", "download", export, "--output", "-").returncode)
    fx.write_types([dict(PEOPLE, roles=["viewer"]), SLOW, BIG, dict(BIG, name="more")])
    fx.reload("types=5")
    done = fx.joblog("export", "download", export, "--output", "-")
    check("download without the role", (5, b""), (done.returncode, done.stdout))
    has("its words", "none of the roles", done.stderr.decode())
    check("start without the role", 5, fx.joblog("export", "start", "people").returncode)
    has("it is still in the list", export, fx.joblog("export", "list").stdout.decode())
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")
    check("download with it again", 0, fx.joblog("export", "download", export, "--output", "-").returncode)


def a_source_that_is_away(fx):
    """Tried again until it is back: for a minute, and three tries would end after three seconds."""
    away = {"name": "away", "relation": "public.away", "columns": [{"name": "id"}],
            "database": "host=%s/data/run user=joblog dbname=elsewhere" % fx.dir}
    fx.write_types([PEOPLE, SLOW, BIG, away])
    fx.reload("types=5")
    export = begin(fx, "away")
    until("the first try has failed", lambda: "attempt" in show(fx, export)["job"] and
          show(fx, export)["job"]["status"] == "pending" and show(fx, export)["job"]["attempt"] > 0)
    check("tries", 7, show(fx, export)["job"]["max_attempts"])
    fx.sql("CREATE DATABASE made;")
    fx.sql("\\c made\nCREATE TABLE away AS SELECT 42 AS id;")
    fx.sql("ALTER DATABASE made RENAME TO elsewhere;")  # at once, with its table: a try may come at any moment
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    check("its rows", ["42"], rows_of(fx.joblog("export", "download", export, "--output", "-").stdout))
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


def scans(fx):
    return int(fx.sql("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'app.big'::regclass;"))


def a_big_table_is_not_counted(fx):
    """But one of which a part is asked for is."""
    before = scans(fx)
    begin(fx, "big", "--watch")
    until("the scan shows", lambda: scans(fx) > before)
    check("scans of all of it", before + 1, scans(fx))
    before = scans(fx)
    check("rows of a part", 99999, len(rows_of(fx.export("big", "--filter", "id:greater=1"))))
    until("the scans show", lambda: scans(fx) >= before + 2)


def a_name_that_is_an_option(fx):
    export = begin(fx, "people", "--name", "-", "--watch")
    done = fx.joblog("export", "download", export)
    check("download of a file named -", (2, b""), (done.returncode, done.stdout))


def reload_of_types(fx):
    fx.write_types([PEOPLE, SLOW, dict(BIG, columns=[{"name": "gone"}])])
    fx.reload("has no column \"gone\"")
    check("the types of before stay", 0, fx.joblog("export", "start", "big", "-W").returncode)
    fx.write_types([PEOPLE, SLOW, dict(BIG, row_limit=99999), dict(BIG, name="big2")])
    until("it is seen without a signal", lambda: b"big2" in fx.joblog("export", "types").stdout)
    done = fx.joblog("export", "start", "big", "--output", "-")
    check("more rows than may be", 1, done.returncode)
    has("its words", "100000 rows, and an export of this type may have 99999", done.stderr.decode())


def words_and_the_built_in_type(fx):
    fx.gate.shut()
    out = fx.popen("export", "start", "slow", "--watch", "--json", "--lang", "es")
    for line in out.stdout:
        if json.loads(line).get("progress", {}).get("step") == "Generando archivo…":
            break
    else:
        sys.exit("no step in Spanish")
    fx.gate.open()
    out.communicate()
    check("end of it", 0, out.returncode)
    done = fx.joblog("export", "start", "people", "--lang", "es")
    has("the message in Spanish", "ha comenzado", done.stderr.decode())
    jobs = fx.export("jobs", "--format", "jsonl", "-f", "job_name=joblog.export", "--columns", "id,status,job_name")
    rows = [json.loads(line) for line in jobs.decode().splitlines()]
    check("jobs in jobs", True, len(rows) > 20 and {"completed"} < {r["status"] for r in rows})


def limits(fx):
    fx.gate.shut()
    children = [fx.popen("export", "start", "slow", "--actor", "erin") for _ in range(6)]
    started = [out.split()[0].decode() for out in (child.communicate()[0] for child in children) if out]
    codes = [child.returncode for child in children]
    check("one at a time", True, len(started) <= 1 and codes.count(0) == len(started) and set(codes) <= {0, 5})
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
    check("remains of it", 1, len(os.listdir(fx.dir + "/files")))


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


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=4")
    with fx:
        fx.sql(SCHEMA)
        fx.gate = Gate(fx)
        fx.write_types([PEOPLE, SLOW, BIG])
        fx.reload("export types loaded types=4")
        operators(fx)
        rows_of_an_owner(fx)
        with_the_role_exporter(fx)
        an_owner_column_that_came_later(fx)
        a_source_that_is_away(fx)
        a_big_table_is_not_counted(fx)
        following(fx)
        deletion(fx, the_client_goes_away(fx))
        words_and_the_built_in_type(fx)
        a_name_that_is_an_option(fx)
        reload_of_types(fx)
        fx.end()
        fx.gate.end()
        os.mkdir(fx.dir + "/files")
        fx.start("--export-owner-running=1", "--export-owner-per-day=5", "--export-owner-megabytes=10", "--export-attempts=2",
                 "--export-directory", fx.dir + "/files")
        fx.gate = Gate(fx)
        limits(fx)
        a_limit_of_the_day(fx)
        a_directory(fx)
        fx.gate.end()


main()
