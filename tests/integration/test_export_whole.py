#!/usr/bin/python3
"""Exports as people use them, through the command line: filters, rows of an owner, what a role may do, and what holds for types
that change.
test_export_whole.py DIRECTORY-OF-PROGRAMS"""
import json
import re
import sys

from export_fixture import BIG, PEOPLE, SLOW, begin, check, gated, has, rows_of, show, until


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


FIRMS = {"name": "firms", "relation": "app.firms", "columns": [{"name": "name"}], "order": {"column": "name"},
         "filters": [{"field": "name", "operators": ["in", "between", "equals"]}]}
FIRM_ROWS = """
CREATE TABLE app.firms (name text COLLATE "C");
INSERT INTO app.firms VALUES ('Miller, Sons'), ('Miller'), (' Sons'), ('"Q"'), ('a"b'), ('m, a'), ('m, n'), ('m, z'), ('');
"""


def values_with_commas(fx):
    """As in a line of CSV; what is one value of one operator is as it is."""
    fx.sql(FIRM_ROWS)
    fx.write_types([PEOPLE, SLOW, BIG, FIRMS])
    fx.reload("types=5")
    for value, want in (('name:in=Miller, Sons', {" Sons", "Miller"}),
                        ('name:in="Miller, Sons"', {"Miller, Sons"}),
                        ('name:in="Miller, Sons",Miller,a"b', {"Miller, Sons", "Miller", 'a"b'}),
                        ('name:in="""Q""","a""b"', {'"Q"', 'a"b'}),
                        ('name:in="",Miller', {"", "Miller"}),
                        ('name:between="m, b","m, o"', {"m, n"}),
                        ('name:equals=Miller, Sons', {"Miller, Sons"}),
                        ('name:equals="Q"', {'"Q"'})):
        rows = fx.export("firms", "-w", value, "--format", "jsonl").decode().splitlines()
        check("rows of " + value, want, {json.loads(row)["name"] for row in rows})
    for value in ('name:in="Miller, Sons', 'name:in="a"b,c', 'name:in="', 'name:in=a,"b""'):
        done = fx.joblog("export", "start", "firms", "-w", value)
        check("exit of " + value, 2, done.returncode)
        has("its words", 'a value that begins with " ends with it', done.stderr.decode())
    for typed, shown in (('name:in="Miller, Sons",Miller,"""Q""",a"b', None), ('name:equals=Miller, Sons', None),
                         ('name=Miller', 'name:in=Miller'), ('name:equals="Q"', None),
                         ('name:in=, Miller,Miller ,', 'name:in=""," Miller","Miller ",""')):
        export = begin(fx, "firms", "-w", typed)
        text = fx.joblog("export", "show", export).stdout.decode()
        line = next(line for line in text.splitlines() if line.startswith("where"))
        check("filter as it is typed", "where          " + (shown or typed), line)
        again = begin(fx, "firms", "-w", line[len("where          "):])
        check("typed again", show(fx, export)["filters"], show(fx, again)["filters"])
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


SIZES = {"name": "sizes", "relation": "app.sizes", "columns": [{"name": "r"}, {"name": "note"}],
         "filters": [{"field": "r", "type": "number", "operators": ["equals", "at_most", "between"]},
                     {"field": "d", "type": "number", "operators": ["equals"]}]}


def numbers_of_32_and_64_bits(fx):
    """A value that is shown as 0.1 is found as 0.1. And a column without an order is no fault."""
    fx.sql("CREATE TABLE app.sizes (r real, d float8, note json); INSERT INTO app.sizes VALUES (0.1, 0.1), (0.3, 0.3), (1e20, 1e300);")
    fx.write_types([PEOPLE, SLOW, BIG, SIZES])
    log = fx.reload("types=5")
    check("warnings about the order", False, "ordering operator" in log)
    has("columns", "r number, note json (not sortable)", fx.joblog("export", "types").stdout.decode())
    for where, want in (("r=0.1", ["0.1"]), ("r=1e20", ["1e+20"]), ("r<=0.3", ["0.1", "0.3"]), ("r:between=0.1,0.3", ["0.1", "0.3"]),
                        ("r=1e60", []), ("r<=1e60", ["0.1", "0.3", "1e+20"]), ("r=0.1000001", []), ("d=0.1", ["0.1"])):
        check("rows of " + where, want, rows_of(fx.export("sizes", "-w", where, "--columns", "r")))
    fx.write_types([PEOPLE, SLOW, BIG, dict(SIZES, relation="app.none")])
    fx.reload('error="export type \\"sizes\\": there is no relation app.none"')  # quotes within quotes
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


def how_a_csv_is_written(fx):
    def shown(*args):
        return fx.joblog("export", "show", begin(fx, "people", *args)).stdout.decode()
    has("as always", 'csv            delimiter ",", titles, UTF-8 without a byte order mark, NULL as "", formulas made harmless\n',
        shown())
    has("all options", 'csv            delimiter tab, no titles, UTF-8 with a byte order mark, NULL as "-", formulas kept\n',
        shown("--delimiter", "tab", "--bom", "--no-header", "--null", "-", "--keep-formulas"))
    check("of another format", False, "\ncsv " in shown("--format", "jsonl"))


def rows_of_an_owner(fx):
    mine = rows_of(fx.export("people", "--actor", "ann", "--columns", "id"))
    check("rows of ann", [str(i) for i in range(3, 301, 3)] + ["1000"], mine)
    check("rows of nobody", [], rows_of(fx.export("people", "--actor", "carol")))
    check("rows of an administrator", 301, len(rows_of(fx.export("people"))))


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


def a_name_and_options(fx):
    """The name of the file says what no option does; where it says something else than an option nothing is started."""
    def started():
        return fx.sql("SELECT count(*) FROM joblog.job WHERE payload::jsonb @> '{\"export_type\": \"people\"}';").strip()
    before = started()
    for name, args, words in (("x.xlsx", ["-z", "gzip"], "is the name of a workbook"), ("x.xlsx", ["-F", "csv"], "--format says csv"),
                              ("x.csv.gz", ["-F", "jsonl"], "file of csv, and --format says jsonl"),
                              ("x.csv.gz", ["-z", "zstd"], "file of gzip, and --compression says zstd"),
                              ("x.gz", ["-z", "none"], "file of gzip, and --compression says none")):
        for option in ("-o", "-n"):
            path = fx.dir + "/" + name if option == "-o" else name
            done = fx.joblog("export", "start", "people", option, path, *args)
            check("exit of %s %s" % (name, args), 2, done.returncode)
            has("its words", words, done.stderr.decode())
    check("started", before, started())
    for name, args, form in (("x.jsonl", ["-z", "gzip"], ("jsonl", "gzip")), ("x.csv.gz", ["-F", "csv"], ("csv", "gzip")),
                             ("x.gz", ["-F", "jsonl"], ("jsonl", "gzip")), ("x.xlsx", ["-z", "none"], ("xlsx", "none")),
                             ("x.data", ["-F", "jsonl"], ("jsonl", "none")), ("x.csv", ["-F", "csv"], ("csv", "none"))):
        export = show(fx, begin(fx, "people", "-o", fx.dir + "/" + name, *args))
        check("form of %s %s" % (name, args), form, (export["format"], export["compression"]))
    text = fx.joblog("export", "start", "--help").stdout.decode()
    has("help", "while it is written; - for standard output, after its end", " ".join(text.split()))


def columns_of_a_file(fx):
    """Those that it has, whatever becomes of its type."""
    whole, part = begin(fx, "people", "--watch"), begin(fx, "people", "--watch", "--columns", "name")
    for types in ([SLOW, BIG, dict(PEOPLE, columns=[{"name": "name"}], order=[], filters=[], title="Folk")], [SLOW, BIG]):
        fx.write_types(types)
        fx.reload("types=%d" % (len(types) + 1))
        check("columns of a file", ["id", "name"], show(fx, whole)["columns"])
        check("columns that were asked for", ["name"], show(fx, part)["columns"])
        listed = [json.loads(line) for line in fx.joblog("export", "list", "--json").stdout.splitlines()]
        check("in the list", [["id", "name"]], [e["columns"] for e in listed if str(e["id"]) == whole])
        watched = fx.joblog("export", "watch", whole, "--json")
        check("watch", 0, watched.returncode)
    has("the record", '["id", "name"]', fx.sql("SELECT result FROM joblog.job_now WHERE id = %s;" % whole))
    check("delete", 0, fx.joblog("export", "delete", whole).returncode)
    check("of a file that was deleted", ["id", "name"], show(fx, whole)["columns"])
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


def a_name_that_is_an_option(fx):
    export = begin(fx, "people", "--name", "-", "--watch")
    done = fx.joblog("export", "download", export)
    check("download of a file named -", (2, b""), (done.returncode, done.stdout))


def reload_of_types(fx):
    fx.write_types([PEOPLE, SLOW, dict(BIG, columns=[{"name": "gone"}])])
    fx.reload('has no column \\"gone\\"')
    check("the types of before stay", 0, fx.joblog("export", "start", "big", "-W").returncode)
    fx.write_types([PEOPLE, SLOW, dict(BIG, row_limit=99999), dict(BIG, name="big2")])
    until("it is seen without a signal", lambda: b"big2" in fx.joblog("export", "types").stdout)
    done = fx.joblog("export", "start", "big", "--output", "-")
    check("more rows than may be", 1, done.returncode)
    has("its words", "100000 rows, and an export of this type may have 99999", done.stderr.decode())


SHORT_LIVED = {"name": "short", "relation": "app.short", "columns": [{"name": "id"}, {"name": "note"}]}


def a_relation_that_changes(fx):
    """Between the look at the type and its run; the caller is told what is wrong, and no names of the operator's."""
    fx.sql("CREATE FUNCTION forbid(text) RETURNS text LANGUAGE plpgsql AS"
           " $$BEGIN RAISE insufficient_privilege USING MESSAGE = 'TOPSECRET'; END$$;"
           " CREATE FUNCTION refuse(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'TOPSECRET'; END$$;"
           "CREATE TABLE app.short_rows AS SELECT 1 AS id, 'n' AS note; CREATE VIEW app.short AS SELECT * FROM app.short_rows;")
    fx.write_types([PEOPLE, SLOW, BIG, SHORT_LIVED])
    fx.reload("types=5")
    check("before", ["1,n"], rows_of(fx.export("short")))
    for change, words in (
            ("DROP VIEW app.short; CREATE VIEW app.short AS SELECT id, refuse(note) AS note FROM app.short_rows",
             "a function of the database refused the rows"),
            ("ALTER VIEW app.short RENAME COLUMN note TO remark", "a column of this export type is not there any more"),
            ("DROP VIEW app.short; CREATE VIEW app.short AS SELECT id, forbid(note) AS note FROM app.short_rows",
             "the server may not read the rows of this export type"),
            ("DROP VIEW app.short", "the table or view of this export type is not there any more")):
        fx.sql(change)
        export = begin(fx, "short")
        done = fx.joblog("export", "watch", export)
        check("exit after " + change, 1, done.returncode)
        has("words after " + change, words, done.stderr.decode())
        check("attempts after " + change, 1, show(fx, export)["job"]["attempt"])
        check("names", False, "app.short" in done.stderr.decode() or "TOPSECRET" in done.stderr.decode())
        with open(fx.dir + "/log") as f:
            has("the log of " + change, "statement failed job=%s sqlstate=" % export, f.read())
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


WIDE_ROWS, WIDE_BYTES, SPARE_KIB = 250000, 400, 64 * 1024


def memory_does_not_grow_with_the_file(fx):
    """A hundred megabytes: the server holds less of them at any time than it is allowed, in each format."""
    fx.sql("CREATE VIEW app.wide AS SELECT g AS id, repeat(md5(g::text), %d) AS x FROM generate_series(1, %d) g;"
           % (WIDE_BYTES // 32, WIDE_ROWS))
    fx.write_types([PEOPLE, SLOW, BIG, dict(SLOW, name="wide", relation="app.wide", columns=[{"name": "id"}, {"name": "x"}])])
    fx.reload("types=5")

    def kib(key):
        with open("/proc/%d/status" % fx.server.pid) as f:
            return int(re.search(key + r":\s+(\d+)", f.read()).group(1))
    for form in ("csv", "jsonl", "xlsx"):
        with open("/proc/%d/clear_refs" % fx.server.pid, "w") as f:
            f.write("5")  # the peak begins anew
        before, export = kib("VmRSS"), begin(fx, "wide", "--format", form)
        check("watch " + form, 0, fx.joblog("export", "watch", export).returncode)
        grown = kib("VmHWM") - before
        check("rows of " + form, WIDE_ROWS, show(fx, export)["file"]["rows"])
        check("%s: memory above idle, %d KiB, is less than allowed" % (form, grown), True, grown < SPARE_KIB)
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")


def main():
    with gated(sys.argv[1]) as fx:
        operators(fx)
        values_with_commas(fx)
        numbers_of_32_and_64_bits(fx)
        how_a_csv_is_written(fx)
        rows_of_an_owner(fx)
        with_the_role_exporter(fx)
        an_owner_column_that_came_later(fx)
        columns_of_a_file(fx)
        a_name_and_options(fx)
        a_name_that_is_an_option(fx)
        reload_of_types(fx)
        a_relation_that_changes(fx)
        memory_does_not_grow_with_the_file(fx)


main()
