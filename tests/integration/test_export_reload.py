#!/usr/bin/python3
"""Types of exports whose relations cannot be looked at just now: locked, or their database is away. Neither the start nor the
end of the server waits for that, and what could not be checked or loaded is once it can be.
test_export_reload.py DIRECTORY-OF-PROGRAMS"""
import os
import signal
import socket
import subprocess
import sys
import time

from export_fixture import BIG, PEOPLE, SCHEMA, Fixture, check, has, until

CHECKED, UNCHECKED = "id integer, name text (not sortable)", "id, name (not sortable)"


class Lock:
    """A transaction that keeps a table locked, for two minutes at most."""

    def __init__(self, fx, table):
        self.psql = subprocess.Popen(["psql", "-XqAt", "-h", fx.dir + "/data/run", "-U", "joblog", "joblog"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.ask("SET idle_in_transaction_session_timeout = '120s'; BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE;" % table)

    def ask(self, what):
        self.psql.stdin.write(what + " SELECT 'held';\n")
        self.psql.stdin.flush()
        return self.psql.stdout.readline()

    def end(self):
        """It must have been held until now."""
        check("the lock", "held\n", self.ask(""))
        self.psql.stdin.close()
        self.psql.wait()


def log_of(fx):
    with open(fx.dir + "/log") as f:
        return f.read()


def types_of(fx):
    return fx.joblog("export", "types").stdout.decode()


def waits_for_a_lock(fx):
    return fx.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'joblogd export types'"
                  " AND wait_event_type = 'Lock';") == "1\n"


def a_lock_at_the_start(fx):
    """Another's PostgreSQL, as an embedded one ends with its server and the lock with that."""
    lock = Lock(fx, "app.people")
    other = subprocess.Popen(
        [fx.bin + "/joblogd", "--database", "host=%s user=joblog dbname=joblog" % (fx.dir + "/data/run"), "--listen=127.0.0.1:0",
         "--dangerously-disable-authentication", "--export-types", fx.types], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=fx.env)
    has("it is ready", "listen=", other.stdout.readline())
    other.terminate()
    err = other.communicate()[1]
    check("its end: " + err, 0, other.returncode)
    has("what it says", "export type not checked yet type=people", err)
    lock.end()


def a_lock_at_a_change(fx):
    """The other types are in force at once; the one that is locked when the lock is gone."""
    lock = Lock(fx, "app.people")
    fx.write_types([PEOPLE, BIG, dict(BIG, name="big2")])
    has("not checked", "unchecked=1", fx.reload("export types loaded types=4"))
    has("it is there", "people", types_of(fx))
    lock.end()
    until("it is checked", lambda: "export types loaded types=4 unchecked=0" in log_of(fx))
    check("told once", 1, log_of(fx).count("export type not checked yet"))


def the_database_is_away(fx):
    place = os.path.realpath(fx.dir + "/data/run") + "/.s.PGSQL.5432"
    os.rename(place, place + ".away")
    fx.write_types([PEOPLE, BIG, dict(BIG, name="big3")])
    until("the change is seen", lambda: "export types not loaded" in log_of(fx))
    has("the types of before", "big2", types_of(fx))
    os.rename(place + ".away", place)
    until("it is loaded", lambda: "big3" in types_of(fx))
    check("told once", 1, log_of(fx).count("export types not loaded"))


def the_database_of_a_type_is_away(fx):
    fx.write_types([BIG, dict(PEOPLE, name="far", database="host=%s port=7777 user=joblog dbname=joblog" % fx.dir)])
    has("not checked", "unchecked=1", fx.reload("export types loaded types=3"))
    has("it is there, without what its columns are", UNCHECKED, types_of(fx))
    os.symlink(os.path.realpath(fx.dir + "/data/run") + "/.s.PGSQL.5432", fx.dir + "/.s.PGSQL.7777")
    until("it is checked", lambda: CHECKED in types_of(fx))


def a_file_that_is_gone(fx):
    os.rename(fx.types, fx.types + ".away")
    until("it is told", lambda: "the file of export types is gone" in log_of(fx))
    fx.reload("cannot read the export types")
    has("the types of before", "far", types_of(fx))
    fx.write_types([PEOPLE, BIG])
    until("it is loaded", lambda: "people" in types_of(fx))


def the_end(fx, what):
    start = time.monotonic()
    check("the end while " + what, 0, fx.end())
    check("its time", True, time.monotonic() - start < 40)


def an_end_while_a_lock_is_waited_for(fx):
    """By the signal that has the types read and by the one that ends it, at once."""
    lock = Lock(fx, "app.people")
    fx.write_types([dict(PEOPLE, name="people%d" % i) for i in range(100)])
    fx.server.send_signal(signal.SIGHUP)
    until("it waits", lambda: waits_for_a_lock(fx))
    the_end(fx, "a lock is waited for")
    lock.psql.kill()
    lock.psql.communicate()


def an_end_while_a_database_says_nothing(fx):
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(fx.dir + "/.s.PGSQL.7778")
    mute.listen()
    fx.write_types([dict(PEOPLE, name="mute", database="host=%s port=7778 connect_timeout=250" % fx.dir)])
    fx.server.send_signal(signal.SIGHUP)
    talk, _ = mute.accept()
    the_end(fx, "it connects")
    talk.close()
    mute.close()


def main():
    fx = Fixture(sys.argv[1])
    with fx:
        fx.sql(SCHEMA)
        fx.write_types([PEOPLE, BIG])
        fx.reload("export types loaded types=3")
        a_lock_at_the_start(fx)
        a_lock_at_a_change(fx)
        the_database_is_away(fx)
        the_database_of_a_type_is_away(fx)
        a_file_that_is_gone(fx)
        an_end_while_a_database_says_nothing(fx)
        fx.write_types([PEOPLE])
        fx.start()
        an_end_while_a_lock_is_waited_for(fx)
        fx.start()


main()
