#!/usr/bin/python3
"""bench/run export: exports against what PostgreSQL, libxlsxwriter and gRPC core do with the same rows on the same machine.
Ours and the peer take turns, and the best round of each counts: others may be at work on the machine, and they only ever
make a round slower. Prints `figure NAME VALUE UNIT` and `ratio NAME VALUE FLOOR`; one thread, which waits for children.

    export.py DIRECTORY-OF-PROGRAMS WORK-DIRECTORY      BENCH_ROWS (1000000), BENCH_ROUNDS (5), BENCH_SECONDS (5)"""
import json
import os
import re
import subprocess
import sys
import threading
import time

BIN, WORK = sys.argv[1:3]
ROWS = int(os.environ.get("BENCH_ROWS", 1000000))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
SECONDS = int(os.environ.get("BENCH_SECONDS", 5))
CHUNK_BYTES = 512 << 10
SOURCE_BYTES = 128 << 20  # about the file of 1 000 000 rows, and more than any cache
COLUMNS = "id, name, email, department, title, city, active, salary, created_at, note"
# About 160 bytes a row as CSV; a note in a hundred needs quotes.
SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users AS SELECT g AS id, 'First' || g %% 997 || ' Last' || g %% 7919 AS name,
  'user' || g || '@example.org' AS email, (ARRAY['Sales', 'Legal', 'Support', 'Engineering'])[1 + g %% 4] AS department,
  'Senior Specialist ' || g %% 50 AS title, 'City ' || g %% 1000 AS city, g %% 3 > 0 AS active,
  (20000 + g %% 90000 + 0.25)::numeric(10,2) AS salary, timestamptz '2020-01-01' + g * interval '137 seconds' AS created_at,
  CASE WHEN g %% 100 = 0 THEN 'said "yes", then left' ELSE substr(md5(g::text), 1, 24) END AS note
  FROM generate_series(1::bigint, %d) g;
VACUUM (ANALYZE) app.users;
CHECKPOINT;"""
TYPE = {"name": "users", "relation": "app.users", "columns": [{"name": c} for c in COLUMNS.split(", ")]}


class Server:
    """A joblogd with an embedded PostgreSQL, and what one asks of it."""

    def __init__(self, name, *args):
        self.dir = os.path.join(WORK, name)
        types = os.path.join(WORK, "types.json")
        self.start_types(types, [])
        self.env = dict(os.environ, JOBLOG_TOKEN_FILE=self.dir + "/admin-token", XDG_CONFIG_HOME=WORK, XDG_STATE_HOME=WORK)
        self.process = subprocess.Popen(
            [BIN + "/joblogd", "--embedded", self.dir, "--listen", "127.0.0.1:0", "--log-level", "warning", "--export-types",
             types, "--export-owner-running=0", "--export-owner-per-day=0", "--export-owner-megabytes=0", *args],
            stdout=subprocess.PIPE, text=True, env=self.env)
        line = self.process.stdout.readline()
        if "listen=" not in line:
            sys.exit("bench: joblogd did not start")
        self.address = re.search(r"listen=([^ ,]+)", line).group(1)
        self.uri = "host=%s/run user=joblog dbname=joblog" % self.dir
        self.psql("-c", "SELECT 1")
        run(["psql", self.uri, "-Xq", "-v", "ON_ERROR_STOP=1"], input=(SCHEMA % ROWS).encode())
        self.start_types(types, [TYPE])
        while b"users" not in self.joblog("export", "types"):
            pass

    @staticmethod
    def start_types(path, types):
        with open(path + ".new", "w") as f:
            json.dump({"export_types": types}, f)
        os.rename(path + ".new", path)

    def psql(self, *args):
        run(["psql", self.uri, "-XqAt", "-v", "ON_ERROR_STOP=1", *args])

    def joblog(self, *args):
        return run([BIN + "/joblog", "--server", self.address, *args], env=self.env)

    def export(self, *args):
        """To a finished file on the server; its id."""
        return self.joblog("export", "start", "users", *args, "--watch").split()[0].decode()

    def delete(self, export):
        self.joblog("export", "delete", export)

    def memory(self, what="VmRSS"):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(what + r":\s+(\d+)", f.read()).group(1)) / 1024

    def forget_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as f:
            f.write("5")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def run(args, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode != 0:
        sys.exit("bench: %s: %s" % (" ".join(args[:6]), done.stderr.decode()))
    return done.stdout


def figure(name, value, unit):
    print("figure %s %.3f %s" % (name, value, unit), flush=True)


def ratio(name, value, floor):
    print("ratio %s %.2f %s" % (name, value, floor), flush=True)


def timed(work):
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def speed(server, label):
    """Files of all rows, in turns with their peers. Seconds of the best round of each."""
    copy = "\\copy (SELECT %s FROM app.users) TO '%s' WITH (FORMAT csv, HEADER)" % (COLUMNS, WORK + "/copied")
    peers = {"copy": lambda: server.psql("-c", copy),
             "libxlsxwriter": lambda: run([BIN + "/bench_xlsx_peer", server.uri, "SELECT %s FROM app.users" % COLUMNS,
                                           WORK + "/peer.xlsx"], env=dict(os.environ, TMPDIR=WORK))}
    if not os.path.exists(BIN + "/bench_xlsx_peer"):
        print("bench: libxlsxwriter is not here to compare with: it needs libxlsxwriter-dev", file=sys.stderr)
        del peers["libxlsxwriter"]
    best = {}
    for _ in range(ROUNDS):
        for kind in ("csv", "copy", "jsonl", "copy", "xlsx", "libxlsxwriter"):
            if kind not in peers and kind == "libxlsxwriter":
                continue
            took, export = timed(peers.get(kind) or (lambda kind=kind: server.export("--format", kind)))
            best[kind] = min(took, best.get(kind, took))
            if kind not in peers:
                server.delete(export)
    for kind, took in best.items():
        figure("export_%s%s" % (kind, label), took, "s")
    ratio("export_csv%s_to_copy" % label, best["copy"] / best["csv"], 0.9)
    ratio("export_jsonl%s_to_copy" % label, best["copy"] / best["jsonl"], 0.6)
    if "libxlsxwriter" in best:
        ratio("export_xlsx%s_to_libxlsxwriter" % label, best["libxlsxwriter"] / best["xlsx"], 1)


def memory(server, idle):
    """idle: of a server that has exported nothing."""
    for kind in ("csv", "jsonl", "xlsx"):
        server.forget_peak()
        server.delete(server.export("--format", kind))
        used = server.memory("VmHWM") - idle
        figure("export_%s_memory" % kind, used, "MiB")
        ratio("export_%s_memory_headroom" % kind, 64 / max(used, 0.1), 1)


def piped(server, export):
    """MB/s of the command line into a pipe."""
    with subprocess.Popen([BIN + "/joblog", "--server", server.address, "export", "download", export, "--output", "-"],
                          env=server.env, stdout=subprocess.PIPE) as child:
        began, size = time.monotonic(), 0
        while part := os.read(child.stdout.fileno(), 1 << 20):
            size += len(part)
        return size / (time.monotonic() - began) / 1e6


def download(server, store):
    """A client of gRPC core that only takes the messages, from joblogd and from a raw server of messages of the same size, in
    turns: bytes of the file a second, checked by the server, and as they are kept for a client that unpacks and checks. And
    libjoblog and the command line, which do. The raw server says the same bytes again and again, which the processor has in
    its cache, and once more as many different ones as a file has, which come from memory as ours do."""
    export = server.export()
    ours = [BIN + "/bench_download", server.address, server.dir + "/admin-token", export, "2"]
    kept = "export_download_%s_" + ("packed" if store == "database" else "as_kept")
    raw = [BIN + "/bench_raw_stream", "--tcp", "--bytes", str(CHUNK_BYTES), "--seconds", "2", "--in-flight", "1"]
    ways = {"raw_stream_of_chunks_%s": raw,
            "raw_stream_from_memory_%s": raw + ["--source", str(SOURCE_BYTES)],
            "export_download_%s": ours,
            kept: ours + ["packed"],
            "export_download_%s_library": [BIN + "/bench_download_library", server.address, export, "2"]}
    best = {}
    for _ in range(ROUNDS):
        for name, args in ways.items():
            rate = float(re.search(rb"(\S+) MB/s", run(args, env=server.env)).group(1))
            best[name] = max(rate, best.get(name, 0))
        best["export_download_%s_command_line"] = max(piped(server, export), best.get("export_download_%s_command_line", 0))
    for name, rate in best.items():
        figure(name % store, rate, "MB/s")
    for name in ("export_download_%s", kept):
        ratio(name % store + "_to_raw_stream", best[name] / max(best["raw_stream_of_chunks_%s"], 1), 0.85)
        ratio(name % store + "_to_raw_stream_from_memory", best[name] / max(best["raw_stream_from_memory_%s"], 1), 0.85)
    server.delete(export)


def dispatches(server, name):
    out = run([BIN + "/bench_dispatch", "--server", server.address, "--token-file", server.dir + "/admin-token",
               "--in-flight", "8", "--seconds", str(SECONDS)]).decode()
    p99 = float(re.search(r"_p99 ([0-9.]+)", out).group(1))
    figure(name, p99, "ms")
    return p99


def beside(server):
    """Ten exports at once, of as many workers, begun again until the dispatches have been measured."""
    dispatches(server, "dispatch_p99_alone")
    over = threading.Event()

    def again():
        while not over.is_set():
            server.delete(server.export())
    threads = [threading.Thread(target=again) for _ in range(10)]
    for thread in threads:
        thread.start()
    p99 = dispatches(server, "dispatch_p99_beside_exports")
    over.set()
    for thread in threads:
        thread.join()
    ratio("dispatch_p99_beside_exports_headroom", 50 / p99, 1)


def main():
    server = Server("export")
    try:
        idle = server.memory()
        memory(server, idle)
        speed(server, "")
        download(server, "database")
    finally:
        server.stop()
    server = Server("ten", "--export-workers=10")
    try:
        beside(server)
    finally:
        server.stop()
    files = os.path.join(WORK, "files")
    os.makedirs(files)
    server = Server("directory", "--export-directory", files)
    try:
        download(server, "directory")
    finally:
        server.stop()


main()
