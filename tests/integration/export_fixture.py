"""A joblogd with its own PostgreSQL and a file of export types, and the command line to reach it. For the tests of exports
that are written in Python."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time


# What the tests export. While its gate is shut, an export of `slow` stands before its row 1000, and two of its three
# chunks can be downloaded.
SCHEMA = """
CREATE SCHEMA app;
CREATE FUNCTION app.nap(id bigint) RETURNS text STABLE LANGUAGE plpgsql AS
  $$BEGIN IF id = 1000 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
  RETURN 'nap ' || id || repeat('z', 1000); END$$;
CREATE VIEW app.slow AS SELECT g AS id, app.nap(g) AS nap FROM generate_series(1::bigint, 1500) g;
CREATE TABLE app.people (id int, name text, boss text, secret text);
INSERT INTO app.people SELECT g, 'name ' || g, CASE g % 3 WHEN 0 THEN 'ann' WHEN 1 THEN 'bob' END, 'TOPSECRET'
  FROM generate_series(1, 300) g;
INSERT INTO app.people VALUES (1000, 'the quick brown foxes jumped', 'ann', 'TOPSECRET');
CREATE TABLE app.big AS SELECT g AS id, md5(g::text) || md5((g + 1)::text) AS x FROM generate_series(1, 100000) g;
ANALYZE app.big;
"""
PEOPLE = {"name": "people", "relation": "app.people", "owner_column": "boss", "order": {"column": "id"},
          "columns": [{"name": "id"}, {"name": "name", "sortable": False}],
          "filters": [{"field": "name", "operators": ["equals", "in", "contains", "prefix"]},
                      {"field": "id", "type": "integer", "operators": ["equals", "between", "at_least", "greater", "less"]},
                      {"field": "words", "operators": ["search"], "columns": ["name"], "full_text": "english"},
                      {"field": "search", "operators": ["search"], "columns": ["name"]}]}
SLOW = {"name": "slow", "relation": "app.slow", "columns": [{"name": "id"}, {"name": "nap"}]}
BIG = {"name": "big", "relation": "app.big", "columns": [{"name": "id"}, {"name": "x"}], "order": {"column": "id"},
       "filters": [{"field": "id", "type": "integer", "operators": ["greater"]}]}
SLOW_FILE = b"id,nap\r\n" + b"".join(b"%d,nap %d%s\r\n" % (i, i, b"z" * 1000) for i in range(1, 1501))


class Fixture:
    def __init__(self, programs, *args):
        self.bin = programs
        self.dir = tempfile.mkdtemp(prefix="joblog-readers.")
        os.chmod(self.dir, 0o755)
        self.types = os.path.join(self.dir, "types.json")
        self.write_types([])
        self.server, self.address = None, "127.0.0.1:0"
        # No login of the user's own is found by the programs, and no note of this server by the user's programs.
        self.env = dict(os.environ, JOBLOG_TOKEN_FILE=self.dir + "/data/admin-token", XDG_CONFIG_HOME=self.dir,
                        XDG_STATE_HOME=self.dir + "/state", LC_ALL="C.UTF-8")
        self.start(*args)

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        """The end of a test: stops the server, which has to end well; with its log when something went wrong."""
        if kind:
            with open(os.path.join(self.dir, "log")) as f:
                print(f.read()[-3000:], file=sys.stderr)
        code = self.stop()
        if not kind:
            check("exit of joblogd", 0, code)
            print("all well")

    def write_types(self, types):
        with open(self.types + ".new", "w") as f:
            json.dump({"export_types": types}, f)
        os.rename(self.types + ".new", self.types)

    def start(self, *args):
        self.log = open(os.path.join(self.dir, "log"), "a")
        self.server = subprocess.Popen(
            [self.bin + "/joblogd", "--embedded", self.dir + "/data", "--listen", self.address, "--export-types", self.types,
             "--lease-timeout-ms=2000", *args], stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env)
        line = self.server.stdout.readline()
        if "listen=" not in line:
            sys.exit(open(os.path.join(self.dir, "log")).read())
        self.address = re.search(r"listen=([^ ,]+)", line).group(1)

    def end(self):
        self.server.terminate()
        return self.server.wait()

    def clean(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        code = self.end()
        self.clean()
        return code

    def reload(self, words="export types"):
        """SIGHUP, and what the log says until these words are in it. The server looks at the file by itself as well, and
        may say so before."""
        size = os.path.getsize(self.dir + "/log")
        self.server.send_signal(1)
        text = ""

        def told():
            nonlocal text
            with open(self.dir + "/log") as f:
                f.seek(size)
                text = f.read()
            if self.server.poll() is not None:
                sys.exit("joblogd has ended")
            return words in text
        until("the log says " + words, told)
        return text

    def sql(self, text):
        return subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.dir + "/data/run", "-U", "joblog", "-d",
             "joblog", "-f", "-"], input="SET timezone = 'UTC'; SET xmloption = content;" + text, text=True, check=True,
            stdout=subprocess.PIPE).stdout

    def joblog(self, *args, **more):
        return subprocess.run([self.bin + "/joblog", "--server", self.address, *args], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, **more)

    def popen(self, *args, **more):
        return subprocess.Popen([self.bin + "/joblog", "--server", self.address, *args], env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def export(self, kind, *args):
        """The bytes of a new export."""
        path = os.path.join(self.dir, "file")
        if os.path.exists(path):
            os.unlink(path)
        done = self.joblog("export", "start", kind, "--output", path, *args)
        if done.returncode != 0:
            sys.exit("export %s %s: %s" % (kind, args, done.stderr.decode()))
        with open(path, "rb") as f:
            return f.read()


class Gate:
    """While it is shut, whoever takes advisory lock 1 of the database waits."""

    def __init__(self, fx):
        self.psql = subprocess.Popen(["psql", "-XqAt", "-h", fx.dir + "/data/run", "-U", "joblog", "joblog"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what):
        self.psql.stdin.write("SELECT %s;\n" % what)
        self.psql.stdin.flush()
        return self.psql.stdout.readline().strip()

    def shut(self):
        self.ask("pg_advisory_lock(1)")

    def open(self):
        self.ask("pg_advisory_unlock(1)")

    def end(self):
        self.psql.stdin.close()
        self.psql.wait()


@contextlib.contextmanager
def gated(programs):
    """A fixture with all that the tests export, and the gate that stands open."""
    with Fixture(programs, "--export-owner-running=0", "--export-workers=4") as fx:
        fx.sql(SCHEMA)
        fx.gate = Gate(fx)
        fx.write_types([PEOPLE, SLOW, BIG])
        fx.reload("export types loaded types=4")
        yield fx
        fx.gate.end()


def until(what, true):
    """Waits for something that only shows by looking."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    sys.exit("waited for a minute: " + what)


def check(what, want, got):
    if want != got:
        sys.exit("%s\n want %.300r\n got  %.300r" % (what, want, got))


def has(what, part, text):
    if part not in text:
        sys.exit("%s\n want %r in\n %s" % (what, part, text))


def begin(fx, kind, *args):
    done = fx.joblog("export", "start", kind, *args)
    check("start " + done.stderr.decode(), 0, done.returncode)
    return done.stdout.decode().split()[0]


def show(fx, export):
    return json.loads(fx.joblog("export", "show", export, "--json").stdout)


def remains(fx):
    return int(fx.sql("SELECT (SELECT count(*) FROM joblog.export_chunk c WHERE NOT EXISTS (SELECT FROM joblog.export_file f"
                      " WHERE f.job_id = c.job_id AND f.token = c.token AND gone = 0))"
                      " + (SELECT count(*) FROM joblog.export_writing);"))


def rows_of(data):
    return data.decode().split("\r\n")[1:-1]


def has_begun(path):
    return lambda: os.path.exists(path + ".part") and os.path.getsize(path + ".part") > 0
