#!/usr/bin/python3
"""Exports while something breaks under them: connections, PostgreSQL, the server. The job runs again, the file is whole, and
nothing is left of what failed. test_export_faults.py DIRECTORY-OF-PROGRAMS"""
import os
import subprocess
import sys
import time

from cut_proxy import CutProxy
from export_fixture import (BIG, Gate, PEOPLE, SLOW, SLOW_FILE, begin, check, gated, has, has_begun, remains, rows_of, show,
                            until)


def cut(fx):
    fx.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'joblogd export rows';")


def a_failed_attempt(fx):
    """A pipe is told, a file begins again; bytes of two attempts never meet."""
    fx.gate.shut()
    export = begin(fx, "slow")
    path = fx.dir + "/restarted"
    pipe = fx.popen("export", "download", export, "--follow", "--output", "-")
    saved = fx.popen("export", "download", export, "--follow", "--output", path)
    pipe.stdout.read(100000)
    until("the file has begun", has_begun(path))
    cut(fx)
    fx.gate.open()
    rest, err = pipe.communicate()
    del rest
    check("exit of the pipe", 5, pipe.returncode)
    has("words of the pipe", "begin again", err.decode())
    out, err = saved.communicate()
    del out
    check("exit of the file: " + err.decode(), 0, saved.returncode)
    check("file after a restart", SLOW_FILE, open(path, "rb").read())
    check("attempts", 2, show(fx, export)["job"]["attempt"])
    check("remains of the first attempt", 0, remains(fx))


def postgres_answers(fx):
    return subprocess.run(["psql", "-XqAt", "-h", fx.dir + "/data/run", "-U", "joblog", "-d", "joblog", "-c", "SELECT 1"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def postgres_crashes(fx):
    """And comes up again by itself, after it has put its files in order: the export runs again, the download begins again."""
    path = fx.dir + "/crash"
    fx.gate.shut()
    saved = fx.popen("export", "start", "slow", "--output", path)
    saved.stdout.readline()
    until("the file has begun", has_begun(path))
    pid = fx.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'joblogd export rows';")
    os.kill(int(pid), 9)
    fx.gate.end()
    until("PostgreSQL is back", lambda: postgres_answers(fx))
    fx.gate = Gate(fx)
    out, err = saved.communicate()
    del out
    check("exit after the crash: " + err.decode(), 0, saved.returncode)
    check("file after the crash", SLOW_FILE, open(path, "rb").read())
    check("remains after the crash", 0, remains(fx))


def postgres_crashes_between_the_file_and_the_end(fx):
    """What was recorded last is not on disk by itself then: the file is there all the same when its job completes."""
    fx.sql("ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf();")
    fx.gate.shut()
    export = begin(fx, "slow")
    until("it writes", lambda: show(fx, export)["job"]["progress"].get("done", 0) > 0)
    holder = Gate(fx)  # of the lease, so that the job does not end
    holder.psql.stdin.write("BEGIN;\n")
    pid = holder.ask("pg_backend_pid() FROM joblog.lease WHERE job_id = %s FOR KEY SHARE" % export)
    fx.gate.open()
    until("the file is recorded", lambda: fx.sql("SELECT count(*) FROM joblog.export_file WHERE job_id = %s;" % export).strip() == "1")
    os.kill(int(pid), 9)
    for gate in (holder, fx.gate):
        gate.end()
    until("PostgreSQL is back", lambda: postgres_answers(fx))
    fx.gate = Gate(fx)
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    job = show(fx, export)["job"]
    check("one attempt made it", 1, job["attempt"])
    check("file", SLOW_FILE, fx.joblog("export", "download", export, "--output", "-").stdout)
    fx.sql("ALTER SYSTEM RESET wal_writer_delay; SELECT pg_reload_conf();")


def a_cancel_beside_a_lock(fx):
    """Of a table that a file needs when it is begun, and when its remains are removed: the end waits for neither."""
    holder = Gate(fx)
    holder.psql.stdin.write("BEGIN; LOCK TABLE joblog.export_writing;\n")
    holder.ask("1")
    export = begin(fx, "slow")
    until("it waits for the lock", lambda: int(fx.sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND"
                                                      " relation = 'joblog.export_writing'::regclass;")) > 0)
    start = time.monotonic()
    check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    fx.joblog("export", "watch", export)
    took = time.monotonic() - start
    check("status", "cancelled", show(fx, export)["job"]["status"])
    check("seconds of %s" % took, True, took < 5)
    holder.end()
    check("file of another one", SLOW_FILE, fx.export("slow"))
    check("remains", 0, remains(fx))


def every_connection_is_cut(fx):
    """Jobs and downloads go on."""
    path = fx.dir + "/outage"
    fx.gate.shut()
    saved = fx.popen("export", "start", "slow", "--output", path)
    saved.stdout.readline()
    until("the file has begun", has_begun(path))
    fx.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
           " AND application_name LIKE 'joblog%';")
    fx.gate.open()
    out, err = saved.communicate()
    del out
    check("exit after the outage: " + err.decode(), 0, saved.returncode)
    check("file after the outage", SLOW_FILE, open(path, "rb").read())


def the_server_is_killed(fx):
    path = fx.dir + "/killed"
    fx.gate.shut()
    saved = fx.popen("export", "start", "slow", "--output", path)
    saved.stdout.readline()
    until("the file has begun", has_begun(path))
    fx.server.kill()
    fx.server.wait()
    fx.gate.end()
    fx.start()
    fx.gate = Gate(fx)
    out, err = saved.communicate()
    del out
    check("exit after the kill: " + err.decode(), 0, saved.returncode)
    check("file after the kill", SLOW_FILE, open(path, "rb").read())
    check("remains after the kill", 0, remains(fx))


def a_source_that_is_cut(fx):
    """Its connection breaks in the middle of the rows, as a network does it: the next attempt has all of them."""
    proxy = CutProxy(os.path.realpath(fx.dir + "/data/run") + "/.s.PGSQL.5432", fx.dir + "/.s.PGSQL.7777", [300000])
    os.chmod(fx.dir + "/.s.PGSQL.7777", 0o777)
    far = dict(BIG, name="far", database="host=%s port=7777 user=joblog dbname=joblog" % fx.dir)
    fx.write_types([PEOPLE, SLOW, BIG])
    fx.reload("types=4")
    proxy.passes = True  # while the types are checked
    fx.write_types([PEOPLE, SLOW, BIG, far])
    fx.reload("types=5")
    proxy.passes = False
    export = begin(fx, "far")
    check("end", 0, fx.joblog("export", "watch", export).returncode)
    check("cuts", 1, proxy.n_cuts)
    check("attempts", 2, show(fx, export)["job"]["attempt"])
    done = fx.joblog("export", "download", export, "--output", "-")
    check("rows", [str(i) for i in range(1, 100001)], [row.split(",")[0] for row in rows_of(done.stdout)])
    check("remains of the first attempt", 0, remains(fx))
    proxy.end()


def main():
    with gated(sys.argv[1]) as fx:
        a_failed_attempt(fx)
        a_cancel_beside_a_lock(fx)
        every_connection_is_cut(fx)
        postgres_crashes(fx)
        postgres_crashes_between_the_file_and_the_end(fx)
        the_server_is_killed(fx)
        a_source_that_is_cut(fx)


main()
