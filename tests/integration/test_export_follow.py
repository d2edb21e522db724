#!/usr/bin/python3
"""How exports go on, through the command line: downloads that follow, clients that go away, deletion, sources that are away, what
is counted, and the words of the steps.
test_export_follow.py DIRECTORY-OF-PROGRAMS"""
import datetime
import json
import sys

from export_fixture import BIG, PEOPLE, SLOW, SLOW_FILE, begin, check, gated, has, remains, rows_of, show, until


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
    """A process of PostgreSQL tells at its end at the latest."""
    fx.sql("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = 'joblogd export rows, idle';")
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


def the_time_left(fx):
    """Is told by the rows alone: two seconds of looking for them are none of it. Two thirds of them are written, in a moment."""
    fx.sql("""CREATE FUNCTION app.ponder() RETURNS boolean STABLE LANGUAGE plpgsql AS
                $$BEGIN PERFORM pg_sleep(1); RETURN true; END$$;
              CREATE VIEW app.dear AS SELECT s.* FROM app.slow s WHERE app.ponder();""")
    fx.write_types([PEOPLE, SLOW, BIG, dict(SLOW, name="dear", relation="app.dear")])
    fx.reload("types=5")
    fx.gate.shut()
    export = begin(fx, "dear")
    until("rows are written", lambda: show(fx, export)["job"].get("progress", {}).get("done", 0) > 900)
    left = datetime.datetime.fromisoformat(show(fx, export)["job"]["progress"]["eta"]) - datetime.datetime.now(datetime.timezone.utc)
    check("time left of %s" % left, True, left.total_seconds() < 0.5)
    fx.gate.open()
    check("end of it", 0, fx.joblog("export", "watch", export).returncode)


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
    check("jobs in jobs", True, len(rows) > 5 and {"completed"} < {r["status"] for r in rows})


def main():
    with gated(sys.argv[1]) as fx:
        a_source_that_is_away(fx)
        a_big_table_is_not_counted(fx)
        following(fx)
        deletion(fx, the_client_goes_away(fx))
        the_time_left(fx)
        words_and_the_built_in_type(fx)


main()
