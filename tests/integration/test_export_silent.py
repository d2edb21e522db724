#!/usr/bin/python3
"""Sources of exports that go silent in the middle of the rows without being cut: a proxy that forwards nothing any more, and
a process of PostgreSQL that stands still.
test_export_silent.py DIRECTORY-OF-PROGRAMS [process]      the latter; otherwise the former"""
import os
import signal
import sys

from cut_proxy import CutProxy
from export_fixture import (BIG, PEOPLE, SCHEMA, SLOW, SLOW_FILE, Fixture, Gate, begin, check, has, remains, rows_of, show, until)

SILENCE_MS = 500  # the fixture's lease time-out is 2 s
SILENT = "the database answers nothing any more"


def log_of(fx):
    with open(fx.dir + "/log") as f:
        return f.read()


def status(fx, export):
    return show(fx, export)["job"]["status"].upper()


def proxy_of(fx, cuts=()):
    """A proxy that is quiet after so many bytes of an answer."""
    path = fx.dir + "/.s.PGSQL.7777"
    proxy = CutProxy(os.path.realpath(fx.dir + "/data/run") + "/.s.PGSQL.5432", path, cuts, quiet=True)
    os.chmod(path, 0o777)
    return proxy


def it_is_tried_again(fx):
    """The server answers no other connection either: the attempt fails, and one after the silence has all the rows."""
    proxy = proxy_of(fx, [300000])
    export = begin(fx, "far")
    until("silence", lambda: not proxy.flows.is_set())
    until("another attempt", lambda: show(fx, export)["job"]["attempt"] >= 2)
    proxy.flows.set()
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    done = fx.joblog("export", "download", export, "--output", "-")
    check("rows", [str(i) for i in range(1, 100001)], [row.split(",")[0] for row in rows_of(done.stdout)])
    check("remains of the first attempt", 0, remains(fx))
    proxy.end()


def a_cancel_is_seen(fx):
    """At once, although PostgreSQL cannot be told; and the only worker is free for the next export."""
    proxy = proxy_of(fx, [300000])
    export = begin(fx, "far")
    until("silence", lambda: not proxy.flows.is_set())
    check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    until("the cancel is seen", lambda: status(fx, export) == "CANCELLED")
    check("rows of the next one", 300000, len(rows_of(fx.export("big"))) * 3)
    check("remains", 0, remains(fx))
    proxy.flows.set()
    proxy.end()


def stopped(fx):
    """The pid of the process that reads for an export of `slow`, which is stopped before its last rows."""
    pid = []
    find = "SELECT pid FROM pg_stat_activity WHERE application_name = 'joblogd export rows' AND wait_event = 'advisory';"
    until("it is at the gate", lambda: pid.extend(fx.sql(find).split()) or pid)
    os.kill(int(pid[0]), signal.SIGSTOP)
    return int(pid[0])


def a_process_that_stands_still(fx):
    """Its server is there, so it is waited for, beyond the lease time-out, with the lease kept; and a cancel is seen."""
    proxy = proxy_of(fx)
    fx.gate.shut()
    export = begin(fx, "far-slow")
    pid, n = stopped(fx), proxy.n_accepted
    fx.gate.open()
    until("it was asked for life", lambda: proxy.n_accepted >= n + 6)
    check("attempt", ("RUNNING", 1), (status(fx, export), show(fx, export)["job"]["attempt"]))
    os.kill(pid, signal.SIGCONT)
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    check("attempts", 1, show(fx, export)["job"]["attempt"])
    check("file", SLOW_FILE, fx.joblog("export", "download", export, "--output", "-").stdout)
    fx.gate.shut()
    export = begin(fx, "far-slow")
    pid = stopped(fx)
    check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    until("the cancel is seen", lambda: status(fx, export) == "CANCELLED")
    os.kill(pid, signal.SIGCONT)
    fx.gate.open()
    check("the next one", SLOW_FILE, fx.export("slow"))
    check("remains", 0, remains(fx))
    proxy.end()


def the_server_ends(fx):
    """While libpq waits on a thread of its own for a source that accepts and says nothing."""
    proxy = proxy_of(fx)
    proxy.flows.clear()
    begin(fx, "far")
    until("it is connected to", lambda: proxy.n_accepted > 0)
    check("end of the server", 0, fx.end())
    proxy.flows.set()
    proxy.end()
    has("log", "export released", log_of(fx))


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=1", "--export-silence-ms=%d" % SILENCE_MS)
    with fx:
        fx.sql(SCHEMA)
        fx.gate = Gate(fx)
        proxy = proxy_of(fx)
        far = {"database": "host=%s port=7777 user=joblog dbname=joblog" % fx.dir}
        fx.write_types([PEOPLE, SLOW, BIG, dict(BIG, name="far", **far), dict(SLOW, name="far-slow", **far)])
        fx.reload("export types loaded types=6")
        proxy.end()
        if sys.argv[2:] == ["process"]:
            a_process_that_stands_still(fx)
            check("places where its server was taken for silent", 0, log_of(fx).count(SILENT))
            for end, n in (("completed", 2), ("cancelled", 1)):
                check("exports " + end, n, log_of(fx).count("export %s job=" % end))
            fx.gate.end()
            return
        it_is_tried_again(fx)
        a_cancel_is_seen(fx)
        has("log", SILENT, log_of(fx))
        fx.gate.end()
        the_server_ends(fx)


main()
