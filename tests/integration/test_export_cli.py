#!/usr/bin/python3
"""The command line about exports: names of files that are taken or say something else than the rest of the line, and what is
shown and said to people. test_export_cli.py DIRECTORY-OF-PROGRAMS"""
import glob
import os
import re
import sys

from export_fixture import BIG, PEOPLE, SLOW, begin, check, gated, has, remains, show, until

NAMED = "users-2026.csv"


def n_started(fx):
    return int(fx.sql("SELECT count(*) FROM joblog.job WHERE payload::jsonb ? 'export_type';"))


def words(done):
    return done.stderr.decode()


def last_line(done):
    return words(done).splitlines()[-1]


def started(fx, *args, **more):
    done = fx.joblog("export", "start", *args, **more)
    check("exit of start %r: %s" % (args, words(done)), 0, done.returncode)
    return done


def refused(fx, what, code, part, *args, **more):
    """Before anything is started."""
    before = n_started(fx)
    done = fx.joblog("export", "start", *args, **more)
    check("exit of %s: %s" % (what, words(done)), code, done.returncode)
    has("words of " + what, part, words(done))
    check("output of " + what, b"", done.stdout)
    check("started by " + what, before, n_started(fx))


def a_name_that_is_taken(fx, here):
    """The server makes it of type, day and form, so it is known before the start whether it is free."""
    started(fx, "people", "--download", cwd=here)
    (name,) = os.listdir(here)
    check("a name of type and day", True, bool(re.fullmatch(r"people-\d{4}-\d\d-\d\d\.csv", name)))
    for more in ([], ["--watch"], ["--json"]):
        refused(fx, "a name that is taken", 2, "%s is there: --output FILE writes over it" % name, "people", "--download",
                *more, cwd=here)
    for form, end in (([], ".csv"), (["-z", "gzip"], ".csv.gz"), (["-F", "jsonl", "-z", "zstd"], ".jsonl.zst"),
                      (["-F", "xlsx"], ".xlsx"), (["-F", "csv", "-z", "none"], ".csv")):
        taken = name.replace(".csv", end)
        with open(os.path.join(here, taken), "a"):
            pass
        refused(fx, "a name of its form", 2, taken + " is there", "people", "--download", *form, cwd=here)
    os.mkdir(os.path.join(here, name.replace(".csv", ".jsonl.part")))
    refused(fx, "a place that is none", 5, "Is a directory", "people", "--download", "-F", "jsonl", cwd=here)
    refused(fx, "a name that is no file's", 2, "is no plain file name", "people", "--download", "--name", "-", cwd=here)
    refused(fx, "a type that is none", 5, 'there is no export type "a/b"', "a/b", "--download", cwd=here)


def a_name_that_turns_out_to_be_taken(fx, here):
    """That of another day, by the request id: the export is there, and it is said how to come to its file."""
    export = started(fx, "people", "--request-id", "again", "--watch").stdout.decode().split()[0]
    fx.sql("UPDATE joblog.job SET payload = jsonb_set(payload, '{file_name}', '\"%s\"') WHERE id = %s;"
           "UPDATE joblog.export_file SET name = '%s' WHERE job_id = %s;" % (NAMED, export, NAMED, export))
    path = os.path.join(here, NAMED)
    with open(path, "w") as f:
        f.write("mine")
    for more in ([], ["--watch"], ["--json"]):
        done = fx.joblog("export", "start", "people", "--request-id", "again", "--download", *more, cwd=here)
        check("exit: " + words(done), 5, done.returncode)
        check("what becomes of it", "joblog: %s is there; export %s goes on: joblog export download %s --follow --output FILE" %
              (NAMED, export, export), last_line(done))
        has("its id", export, done.stdout.decode())
        with open(path) as f:
            check("what is there", "mine", f.read())
    check("the way that is shown", 0, fx.joblog("export", "download", export, "--follow", "--output", path).returncode)
    with open(path) as f:
        check("the titles", "id,name", f.readline().strip())


def form_of(fx, *args, **more):
    export = show(fx, started(fx, "people", *args, **more).stdout.decode().split()[0])
    return export["format"], export["compression"]


def names_that_say_what_the_file_is(fx, here):
    for name, args, form in (("A.XLSX", [], ("xlsx", "none")), ("a.Csv.GZ", [], ("csv", "gzip")), ("A.NDJSON", [], ("jsonl", "none")),
                             ("a.tsv", [], ("csv", "none")), ("A.TSV.ZST", [], ("csv", "zstd")), ("a.txt", [], ("csv", "none")),
                             ("a.json", ["-F", "jsonl"], ("jsonl", "none")), ("b.tsv", ["--delimiter", "tab"], ("csv", "none")),
                             ("c.jsonl", ["-n", "c.json"], ("jsonl", "none")), ("d.csv", ["-n", "D.CSV"], ("csv", "none"))):
        check("form of " + name, form, form_of(fx, "-o", name, *args, cwd=here))
    for name in ("a.tsv", "b.tsv"):
        with open(os.path.join(here, name)) as f:
            check("tabs", "id\tname\n", f.readline())
    done = started(fx, "people", "--output", "-", "--name", "x.xlsx")
    check("a workbook in a pipe", b"PK", done.stdout[:2])
    for part, args in (("name it .jsonl, or say --format jsonl", ["-o", "e.json"]), ("name it .jsonl", ["-n", "e.JSON.gz"]),
                       ("file of jsonl, and --format says csv", ["-o", "e.json", "-F", "csv"]),
                       ("file of xlsx, and --format says csv", ["-o", "E.XLSX", "-F", "csv"]),
                       ("file with tabs, and --delimiter says ;", ["-o", "e.tsv", "--delimiter", ";"]),
                       ("b.xlsx is the name of a file of xlsx, and a.csv says csv", ["-o", "a.csv", "--name", "b.xlsx"]),
                       ("b.csv.zst is the name of a file of zstd, and a.csv.gz says gzip", ["-o", "a.csv.gz", "-n", "b.csv.zst"]),
                       ("file of xlsx, and --format says csv", ["-o", "a.csv", "--name", "b.xlsx", "-F", "csv"]),
                       ("--follow goes with --output -", ["-o", "f.csv", "--follow"]),
                       ("--follow goes with --output -", ["--follow"]), ("--follow goes with --output -", ["--follow", "--download"]),
                       ("--follow and --watch", ["--follow", "--watch", "-o", "-"])):
        refused(fx, " ".join(args), 2, part, "people", *args, cwd=here)
    check("files of what was refused", [], glob.glob(os.path.join(here, "[ef].*")))


def aligned(what, text):
    """All values begin in one column."""
    for line in text.splitlines():
        check("a line of %s: %r" % (what, line), True, bool(re.match(r"[a-z0-9 ]{14} \S", line)))


def failed_and_cancelled(fx):
    fx.write_types([PEOPLE, SLOW, BIG, dict(BIG, name="few", row_limit=10, filters=[])])
    fx.reload("types=5")
    export = begin(fx, "few")
    watched = fx.joblog("export", "watch", export)
    check("exit of the watch", 1, watched.returncode)
    has("why it failed", "joblog: export %s has failed, ExportTooLarge: " % export, last_line(watched))
    text = fx.joblog("export", "show", export).stdout.decode()
    aligned("one that failed", text)
    has("its error", "\nerror          100000 rows", text)
    done = fx.joblog("export", "download", export)
    has("its download", "export %s has failed: there is no file" % export, words(done))
    fx.gate.shut()
    export = begin(fx, "slow")
    check("cancel", 0, fx.joblog("export", "cancel", export, "--reason", "wrong filter").returncode)
    watched = fx.joblog("export", "watch", export)
    check("what became of it", "joblog: export %s is cancelled" % export, last_line(watched))
    text = fx.joblog("export", "show", export).stdout.decode()
    aligned("one that was cancelled", text)
    check("who cancelled it, and why: " + text, True, bool(re.search(r"\ncancelled      by \S+: wrong filter\n", text)))
    check("why, once", 1, text.count("wrong filter"))
    done = fx.joblog("export", "cancel", export)
    check("exit of one more cancel", 5, done.returncode)
    has("its words", "export %s has ended: it cannot be cancelled (FAILED_PRECONDITION" % export, words(done))
    fx.gate.open()
    aligned("one that completed", fx.joblog("export", "show", begin(fx, "people", "--watch")).stdout.decode())


def what_an_exporter_sees_of_a_cancel(fx):
    """Why it was: it may not look at jobs, whose history has by whom."""
    ann = ["--token-file", fx.token]
    fx.gate.shut()
    export = begin(fx, "slow", *ann)
    check("cancel", 0, fx.joblog("export", "cancel", export, "--reason", "too large").returncode)
    check("exit of the watch", 1, fx.joblog(*ann, "export", "watch", export).returncode)
    shown = fx.joblog(*ann, "export", "show", export)
    check("exit of show: " + words(shown), (0, b""), (shown.returncode, shown.stderr))
    aligned("one's own", shown.stdout.decode())
    has("why it was", "\ncancelled      too large\n", shown.stdout.decode())
    fx.gate.open()


def what_one_sees_of_types(fx):
    own = "your own only"
    types = fx.joblog("export", "types").stdout.decode()
    check("an administrator gets all", 0, types.count(own))
    theirs = fx.joblog("--token-file", fx.token, "export", "types").stdout.decode()
    check("types whose rows have owners, to an exporter: " + theirs, 2, theirs.count(own))
    check("types that have filters: " + types, 3, len(re.findall(r"^  filters +\S", types, re.M)))
    check("lines of filters", 3, types.count("  filters"))


def what_there_is_instead(fx):
    there = "there are equals, in, contains, at_least, at_most, search, between, prefix, greater, less"
    refused(fx, "a type", 5, 'there is no export type "usrs"; there are big, few, jobs, people, slow (INVALID_ARGUMENT, field '
            'export_type)', "usrs")
    refused(fx, "an operator", 5, "there is no operator equal; %s (INVALID_ARGUMENT, field filters[1].operator)" % there,
            "people", "-w", "id=1", "-w", "id:equal=1")
    refused(fx, "a format", 5, "there is no format papyrus; there are csv, jsonl, xlsx (", "people", "-F", "papyrus")
    refused(fx, "a compression", 5, "there is no compression rar; there are none, gzip, zstd (", "people", "-z", "rar")


def a_file_without_a_byte(fx, here):
    done = started(fx, "people", "-w", "id=-5", "-o", "empty.jsonl", cwd=here)
    check("bytes", 0, os.path.getsize(os.path.join(here, "empty.jsonl")))
    check("its line: " + words(done), True, bool(re.fullmatch(r"empty\.jsonl: 0 B in [\d.]+[mu]?s", last_line(done))))


def main():
    with gated(sys.argv[1]) as fx:
        for test in (a_name_that_is_taken, a_name_that_turns_out_to_be_taken, names_that_say_what_the_file_is,
                     a_file_without_a_byte):
            here = os.path.join(fx.dir, test.__name__)
            os.mkdir(here)
            test(fx, here)
        fx.token = os.path.join(fx.dir, "ann.token")
        made = fx.joblog("token", "create", "ann", "--role", "exporter", "--owner", "ann", "--output", fx.token)
        check("token: " + words(made), 0, made.returncode)
        failed_and_cancelled(fx)
        what_an_exporter_sees_of_a_cancel(fx)
        what_one_sees_of_types(fx)
        what_there_is_instead(fx)
        until("all has ended", lambda: remains(fx) == 0)


main()
