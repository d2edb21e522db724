#!/usr/bin/python3
"""How exports run: all rows are of one snapshot, no more run at once than there are workers, files expire; and what an operator
says of columns is what a spreadsheet shows. test_export_runs.py DIRECTORY-OF-PROGRAMS"""
import io
import json
import os
import sys

import openpyxl
from export_fixture import Fixture, Gate, begin, check, has, rows_of, show, until

# A volatile function sees, row by row, whatever its transaction may see: in one snapshot that is the same for all rows. While
# the gate is shut an export stands before its row 1000.
SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.rate (value int);
INSERT INTO app.rate VALUES (1);
CREATE FUNCTION app.rate_now() RETURNS int VOLATILE LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT sum(value) FROM app.rate); END$$;
CREATE FUNCTION app.pad(id int, pad text) RETURNS text STABLE LANGUAGE plpgsql AS
  $$BEGIN IF id = 1000 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN pad; END$$;
CREATE TABLE app.item (id int, pad text);
INSERT INTO app.item SELECT g, repeat('x', 1000) FROM generate_series(1, 1500) g;
CREATE VIEW app.priced AS SELECT id, app.rate_now() AS rate, app.pad(id, pad) AS pad FROM app.item;
CREATE TABLE app.cells (number numeric(12, 3), day date, moment timestamp, code bigint, ok boolean, note text);
CREATE VIEW app.endless AS SELECT g AS id FROM generate_series(1, 2) g WHERE pg_sleep(60 * g) IS NOT NULL;
CREATE FUNCTION app.too_deep() RETURNS int STABLE LANGUAGE plpgsql AS
  $$BEGIN RAISE 'stack depth limit exceeded' USING ERRCODE = '54001'; END$$;
CREATE VIEW app.deep AS SELECT app.too_deep() AS id;
INSERT INTO app.cells VALUES (1234567.5, '2026-01-31', '2026-01-31 12:30', 12, true, 'ñ');
"""
PRICED = {"name": "priced", "relation": "app.priced", "columns": [{"name": "id"}, {"name": "rate"}, {"name": "pad"}]}
CELLS = {"name": "cells", "title": "Some: cells?", "relation": "app.cells",
         "columns": [{"name": "number", "title": "Número", "format": "#,##0.00"}, {"name": "day", "format": "dd/mm/yyyy"},
                     {"name": "moment", "format": "yyyy-mm-dd hh:mm"}, {"name": "code", "type": "text"}, {"name": "ok"},
                     {"name": "note", "title": "Nota"}]}


def source(fx, name, setting):
    """A type whose database is the same one, by a session with a setting of its own."""
    return {"name": name, "relation": "app." + name, "columns": [{"name": "id"}],
            "database": "host=%s/data/run user=joblog dbname=joblog options='-c %s'" % (fx.dir, setting)}


def status(fx, export):
    return show(fx, export)["job"]["status"]


def one_snapshot(fx):
    """What is committed while it runs, before or behind the row that it has come to, is not in it, nor in its progress."""
    fx.gate.shut()
    export = begin(fx, "priced")
    until("it writes", lambda: show(fx, export)["job"]["progress"].get("done", 0) > 0)
    fx.sql("INSERT INTO app.rate VALUES (41); INSERT INTO app.item VALUES (0, 'new'), (1400, 'new'), (2000, 'new');"
           "DELETE FROM app.item WHERE id IN (5, 1200); UPDATE app.item SET pad = 'new' WHERE id = 1300;")
    fx.gate.open()
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    data = fx.joblog("export", "download", export, "--output", "-").stdout
    check("rows as they were", True, data == b"id,rate,pad\r\n" + b"".join(b"%d,1,%s\r\n" % (i, b"x" * 1000)
                                                                          for i in range(1, 1501)))
    job = show(fx, export)["job"]
    check("its progress", (1500, 1500), (job["progress"]["done"], job["progress"]["total"]))
    later = rows_of(fx.export("priced", "--columns", "id,rate", "--order", "id"))
    check("another one sees all of it", (1501, "0,42"), (len(later), later[0]))


def one_that_is_not_counted(fx):
    fx.gate.shut()
    export = begin(fx, "uncounted")
    until("it writes", lambda: show(fx, export)["job"]["progress"].get("done", 0) > 0)
    job = show(fx, export)["job"]
    check("no total", (0, 0, "writing file"), (job["progress"].get("total", 0), job["progress"].get("percent", 0),
                                               job["progress"]["step"]))
    fx.gate.open()
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    job = show(fx, export)["job"]
    check("at the end", (1500, 1500, 100), tuple(job["progress"][name] for name in ("done", "total", "percent")))


def no_more_than_there_are_workers(fx):
    """A free worker gets an export with its start, so that the answer says whether there was one."""
    fx.gate.shut()
    four = [begin(fx, "priced") for _ in range(4)]
    until("two are on their way", lambda: all(show(fx, export)["job"].get("progress", {}).get("done", 0) > 0
                                              for export in four[:2]))
    check("four with two workers", ["running", "running", "pending", "pending"], [status(fx, export) for export in four])
    check("cancel of one that waits", 0, fx.joblog("export", "cancel", four[3]).returncode)
    check("cancelled at once", "cancelled", status(fx, four[3]))
    check("cancel of one that runs", 0, fx.joblog("export", "cancel", four[0]).returncode)
    until("its place is taken", lambda: status(fx, four[2]) == "running")
    fx.gate.open()
    for export in four[1:3]:
        check("end", 0, fx.joblog("export", "watch", export).returncode)
    check("ends", ["cancelled", "completed", "completed", "cancelled"], [status(fx, export) for export in four])


def what_a_spreadsheet_shows(fx):
    data = fx.export("cells", "--format", "xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    titles, cells = list(sheet.iter_rows())
    check("title of the sheet has none of what Excel refuses", (True, False),
          ("cells" in sheet.title, any(c in sheet.title for c in "[]:*?/\\")))
    for kind, name in (("past", "hIstory_"), ("odd", "a_b_c_")):
        book = openpyxl.load_workbook(io.BytesIO(fx.export(kind, "--format", "xlsx")))
        check("names of the sheets of " + kind, [name], book.sheetnames)
    check("titles", ["Número", "day", "moment", "code", "ok", "Nota"], [cell.value for cell in titles])
    check("kinds of cells", ["n", "d", "d", "s", "b", "s"],
          ["s" if cell.data_type == "inlineStr" else cell.data_type for cell in cells])
    check("how they are shown", ["#,##0.00", "dd/mm/yyyy", "yyyy-mm-dd hh:mm"], [cell.number_format for cell in cells[:3]])
    check("values", (1234567.5, "2026-01-31", "2026-01-31 12:30:00", "12", True, "ñ"),
          (cells[0].value, cells[1].value.strftime("%Y-%m-%d"), str(cells[2].value), cells[3].value, cells[4].value,
           cells[5].value))
    check("a number that is a text, in JSON", b'"code":"12"', fx.export("cells", "--format", "jsonl").split(b",")[3])


def readers(fx):
    """A line for each: its pid, and its name."""
    return fx.sql("SELECT pid, application_name FROM pg_stat_activity"
                  " WHERE application_name LIKE 'joblogd export rows%' ORDER BY pid;").split("\n")[:-1]


def a_connection_that_reads_is_kept(fx):
    """For the next export of the same database, and said to be idle meanwhile; it sees what was committed since."""
    begin(fx, "cells", "--watch")
    until("all have ended", lambda: all("idle" in line for line in readers(fx)))
    before = readers(fx)
    fx.sql("INSERT INTO app.cells (note) VALUES ('later');")
    check("rows of the next one", 2, len(rows_of(fx.export("cells"))))
    until("it has ended", lambda: all("idle" in line for line in readers(fx)))
    check("connections", before, readers(fx))
    fx.sql("DELETE FROM app.cells WHERE note = 'later';")


def files_expire(fx):
    """The record stays; the file is refused at once, long before its room is given back (test_export_store.c: sweeping)."""
    export = begin(fx, "cells", "--watch")
    fx.sql("UPDATE joblog.export_file SET expire_time = now() WHERE job_id = %s;" % export)
    gone = show(fx, export)
    check("record of one that has expired", ("completed", "expired", False),
          (gone["job"]["status"], gone["file_state"], "file" in gone))
    done = fx.joblog("export", "download", export, "--output", "-")
    check("its download", (3, b""), (done.returncode, done.stdout))
    has("its words", "expired", done.stderr.decode())


def faults_that_last(fx):
    """What is too long or too much for the source is so at every try; a lock that was waited for in vain is not."""
    for kind, words in (("endless", "they take longer than it allows; filter more"), ("deep", "more than the database can work out")):
        export = begin(fx, kind)
        until("%s ends" % kind, lambda: status(fx, export) not in ("pending", "running"))
        job = show(fx, export)["job"]
        check("end of " + kind, ("failed", 1, "ExportSourceFailed"), (job["status"], job["attempt"], job["error"]["type"]))
        has("words", words, job["error"]["message"])
    fx.gate.ask("'begin'; BEGIN; LOCK TABLE app.rate; SELECT 'locked'")
    fx.gate.psql.stdout.readline()
    export = begin(fx, "locked")
    until("it is tried again", lambda: show(fx, export)["job"].get("attempt", 0) > 1)
    fx.gate.ask("'end'; COMMIT")
    check("end of what was locked", 0, fx.joblog("export", "watch", export).returncode)


def the_servers_own_workers(fx):
    """Cannot be drained, which they would not obey, but paused."""
    def workers():
        return [json.loads(line) for line in fx.joblog("workers", "--json").stdout.splitlines()]

    own = workers()
    check("workers", 2, len(own))
    for args in ([own[0]["name"]], ["--host", own[0]["host"]]):
        done = fx.joblog("workers", "drain", *args)
        check("drain", (5, b""), (done.returncode, done.stdout))
        has("its words", "they end with their server; pause them instead", done.stderr.decode())
    check("who drains", [], [worker for worker in workers() if "drain_request" in worker])
    check("pause", 0, fx.joblog("workers", "pause", *[worker["name"] for worker in own]).returncode)
    check("who is paused", 2, len([worker for worker in workers() if "pause_request" in worker]))
    check("resume", 0, fx.joblog("workers", "resume", *[worker["name"] for worker in own]).returncode)
    check("they go on", 1, len(rows_of(fx.export("cells"))))


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=2")
    with fx:
        fx.sql(SCHEMA)
        fx.gate = Gate(fx)
        fx.write_types([PRICED, dict(PRICED, name="uncounted", count=False), CELLS, dict(CELLS, name="past", title="hIstory"),
                        source(fx, "endless", "statement_timeout=300"), source(fx, "deep", "statement_timeout=0"),
                        dict(source(fx, "locked", "lock_timeout=100"), relation="app.rate", columns=[{"name": "value"}]),
                        dict(CELLS, name="odd", title="a\u0001b\ufffec\u007f")])
        fx.reload("export types loaded types=9")
        one_that_is_not_counted(fx)
        one_snapshot(fx)
        no_more_than_there_are_workers(fx)
        what_a_spreadsheet_shows(fx)
        a_connection_that_reads_is_kept(fx)
        files_expire(fx)
        the_servers_own_workers(fx)
        faults_that_last(fx)
        fx.gate.end()


main()
