#!/usr/bin/python3
"""Whose rows an export shows, and who may have it, when the types or the callers' roles change between its start, its run,
its retry and its download. test_export_rights.py DIRECTORY-OF-PROGRAMS"""
import os
import sys

from export_fixture import Fixture, Gate, begin, check, has, rows_of, show, until

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.people (id int, boss text, deputy text);
INSERT INTO app.people SELECT g, (ARRAY['ann', 'bob'])[g % 2 + 1], (ARRAY['ann', 'bob', 'eve'])[g % 3 + 1]
  FROM generate_series(1, 30) g;
CREATE FUNCTION app.nap() RETURNS text STABLE LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN ''; END$$;
CREATE VIEW app.gate AS SELECT 1 AS id, app.nap() AS nap;
"""
GATE = {"name": "gate", "relation": "app.gate", "columns": [{"name": "id"}, {"name": "nap"}]}
PEOPLE = {"name": "people", "relation": "app.people", "owner_column": "boss", "order": {"column": "id"},
          "columns": [{"name": "id"}, {"name": "boss"}]}
OPEN = {"name": "open", "relation": "app.people", "order": {"column": "id"}, "columns": [{"name": "id"}]}
OF_ANN = ["%d,ann" % i for i in range(1, 31) if i % 2 == 0]


class As:
    """Within it the command line calls with another token."""

    def __init__(self, fx, who):
        self.fx, self.path = fx, who and os.path.join(fx.dir, who + ".token")

    def __enter__(self):
        self.before = self.fx.env["JOBLOG_TOKEN_FILE"]
        self.fx.env["JOBLOG_TOKEN_FILE"] = self.path

    def __exit__(self, *_):
        self.fx.env["JOBLOG_TOKEN_FILE"] = self.before


def token(fx, name, owner, roles):
    made = fx.joblog("token", "create", name, "--role", roles, "--owner", owner, "--output",
                     os.path.join(fx.dir, name + ".token"))
    check("token " + made.stderr.decode(), 0, made.returncode)


def types(fx, *these):
    """In force when it returns: each set has another type that tells it apart, as the server may tell once more of the
    set of before."""
    fx.n_sets += 1
    mark = dict(OPEN, name="set%d" % fx.n_sets)
    fx.write_types([GATE, mark, *these])
    until("the types are in force", lambda: mark["name"] in fx.joblog("export", "types").stdout.decode())


def pending(fx, who, kind, *args):
    """One that has been started and does not run yet: there is one export worker, and it stands at the gate."""
    with As(fx, who):
        return begin(fx, kind, *args)


def stand(fx):
    fx.gate.shut()
    export = begin(fx, "gate")
    until("the gate is reached", lambda: show(fx, export)["job"]["status"] == "running")


def ends(fx, export, status, error=None, attempts=1):
    until("%s ends" % export, lambda: show(fx, export)["job"]["status"] not in ("pending", "running"))
    job = show(fx, export)["job"]
    check("status of %s" % job, status, job["status"])
    if error:
        check("error", error, job["error"]["type"])
        check("file", "none", show(fx, export)["file_state"])
    check("attempts", attempts, job["attempt"])


def download(fx, who, export):
    with As(fx, who):
        done = fx.joblog("export", "download", export, "--output", "-")
    return done.returncode, done.stdout, done.stderr.decode()


def between_start_and_run(fx):
    """Types change: what is not granted any more fails at once, what is granted goes by the new words."""
    types(fx, PEOPLE, OPEN, dict(OPEN, name="narrow"), dict(OPEN, name="both"), dict(PEOPLE, name="moved"),
          dict(OPEN, name="owned"), dict(PEOPLE, name="lost"))
    stand(fx)
    gone = pending(fx, "ann", "open")
    narrow = pending(fx, "ann", "narrow")
    both = pending(fx, "ann-both", "both")
    moved = pending(fx, "ann", "moved")
    owned = pending(fx, "ann", "owned")
    every = begin(fx, "moved")
    lost = pending(fx, "ann", "lost", "--columns", "boss")
    types(fx, PEOPLE, dict(OPEN, name="narrow", roles=["viewer"]), dict(OPEN, name="both", roles=["viewer"]),
          dict(PEOPLE, name="moved", owner_column="deputy"), dict(OPEN, name="owned", owner_column="boss"),
          dict(PEOPLE, name="lost", columns=[{"name": "id"}]))
    fx.gate.open()
    ends(fx, gone, "failed", "ExportTypeUnknown")
    ends(fx, narrow, "failed", "ExportDenied")
    ends(fx, lost, "failed", "ExportRequestInvalid")
    for export in (both, moved, owned, every):
        ends(fx, export, "completed")
    check("rows with the role that is needed now", 30, len(rows_of(download(fx, "ann-both", both)[1])))
    check("rows by the new owner column", [i for i in range(1, 31) if i % 3 == 0],
          [int(row.split(",")[0]) for row in rows_of(download(fx, "ann", moved)[1])])
    check("rows by an owner column that came", [i for i in range(1, 31) if i % 2 == 0],
          [int(row) for row in rows_of(download(fx, "ann", owned)[1])])
    check("rows of an administrator", 30, len(rows_of(fx.joblog("export", "download", every, "--output", "-").stdout)))
    check("what was denied has no file", 5, download(fx, "ann", narrow)[0])


def payload_of_before(fx):
    """Exports that an earlier version has started name no roles: they have what it took to start them."""
    types(fx, PEOPLE, dict(OPEN, name="narrow"), OPEN)
    stand(fx)
    granted = pending(fx, "ann-both", "open")
    denied = pending(fx, "ann-both", "narrow")
    fx.sql("UPDATE joblog.job SET payload = payload - 'roles' WHERE id IN (%s, %s);" % (granted, denied))
    types(fx, PEOPLE, dict(OPEN, name="narrow", roles=["viewer"]), dict(OPEN, roles=["exporter"]))
    fx.gate.open()
    ends(fx, granted, "completed")
    ends(fx, denied, "failed", "ExportDenied")


def cancelled(fx, who, kind, *args):
    export = pending(fx, who, kind, *args)
    with As(fx, who):
        check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    return export


def refused(fx, who, export, words, *args):
    with As(fx, who):
        done = fx.joblog("retry", *(args or [export]))
    has("words of the refusal", words, done.stderr.decode() + done.stdout.decode())
    check("exit of the refusal", True, done.returncode != 0)
    check("status of what was refused", "cancelled", show(fx, export)["job"]["status"])


def at_a_retry(fx):
    """By the rights of who retries, and of who started it."""
    types(fx, PEOPLE, OPEN)
    stand(fx)
    mine, wide = cancelled(fx, "ann", "open"), cancelled(fx, "ann", "people")
    types(fx, PEOPLE, dict(OPEN, roles=["viewer"]))
    refused(fx, "ann", mine, "none of the roles")
    check("retry by an administrator", 0, fx.joblog("retry", mine).returncode)
    with As(fx, "ann"):
        check("retry of what is granted", 0, fx.joblog("retry", wide).returncode)
    fx.gate.open()
    ends(fx, mine, "failed", "ExportDenied")
    ends(fx, wide, "completed")
    check("rows of ann", OF_ANN, rows_of(download(fx, "ann", wide)[1]))
    types(fx, PEOPLE, OPEN)
    with As(fx, "bob"):
        check("retry by somebody else", 3, fx.joblog("retry", mine).returncode)
    with As(fx, "ann"):
        check("retry with the role again", 0, fx.joblog("retry", mine).returncode)
    ends(fx, mine, "completed", attempts=2)


def rows_of_everybody(fx):
    """Are for administrators: not for one who was, neither by a retry nor by a download."""
    types(fx, PEOPLE, OPEN)
    stand(fx)
    export = cancelled(fx, "ann-admin", "people")
    refused(fx, "ann", export, "rows of others")
    refused(fx, "ann", export, "one at a time", "--queue", "joblog.exports", "--status", "cancelled", "--owner", "ann")
    with As(fx, "ann-admin"):
        check("bulk retry by an administrator", 0, fx.joblog("retry", "--queue", "joblog.exports", "--status", "cancelled",
                                                             "--owner", "ann").returncode)
    fx.gate.open()
    ends(fx, export, "completed")
    check("rows of an administrator", 30, len(rows_of(download(fx, "ann-admin", export)[1])))
    code, data, words = download(fx, "ann", export)
    check("download by who is none any more", (5, b""), (code, data))
    has("its words", "rows of others", words)
    with As(fx, "ann-admin"):
        whole = begin(fx, "open", "--watch")  # of a type that has no owners: nobody's rows
    check("download of one without owners", 30, len(rows_of(download(fx, "ann", whole)[1])))


def a_payload_that_cannot_be_read(fx):
    """Tells neither the type nor whose rows there are: its file is for administrators."""
    types(fx, PEOPLE, OPEN)
    export = pending(fx, "ann", "people")
    ends(fx, export, "completed")
    check("rows of ann", OF_ANN, rows_of(download(fx, "ann", export)[1]))
    fx.sql("UPDATE joblog.job SET payload = jsonb_set(payload, '{file_name}', '\"a/b\"') WHERE id = %s;" % export)
    code, data, words = download(fx, "ann", export)
    check("download", (5, b""), (code, data))
    has("its words", "cannot be read", words)
    check("download by an administrator", OF_ANN, rows_of(download(fx, "ann-admin", export)[1]))


def a_repetition(fx):
    """Roles are no part of what was asked: the same request id gives the same export after they have changed."""
    types(fx, PEOPLE, OPEN)
    first = pending(fx, "ann", "open", "--request-id", "again")
    check("the same export", first, pending(fx, "ann-both", "open", "--request-id", "again"))
    ends(fx, first, "completed")


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=1")
    fx.n_sets = 0
    with fx:
        fx.sql(SCHEMA)
        fx.gate = Gate(fx)
        token(fx, "ann", "ann", "exporter,dispatcher")
        token(fx, "ann-both", "ann", "exporter,viewer")
        token(fx, "ann-admin", "ann", "admin")
        token(fx, "bob", "bob", "exporter,dispatcher")
        between_start_and_run(fx)
        payload_of_before(fx)
        at_a_retry(fx)
        rows_of_everybody(fx)
        a_payload_that_cannot_be_read(fx)
        a_repetition(fx)
        fx.gate.end()


main()
