#!/usr/bin/python3
"""bench/run history: a server with a history of BENCH_JOBS (10000000) jobs against an empty one. Prints `figure NAME VALUE UNIT`
and `ratio NAME VALUE FLOOR` (a ratio of 1 is what docs/benchmarks.md asks for). One thread but for the dispatches beside the
clean-up.

    history.py DIRECTORY-OF-PROGRAMS WORK-DIRECTORY      BENCH_JOBS, BENCH_SECONDS (5), BENCH_CALLS (2000)

BENCH_PARTS ("make reads rates backlog cleanup months") runs some parts only; with BENCH_HISTORY=DIRECTORY, which then stays, one after the
other."""
import atexit
import os
import random
import re
import subprocess
import sys
import threading
import time

import grpc

BIN = sys.argv[1]
WORK = os.environ.get("BENCH_HISTORY", sys.argv[2])
HERE = os.path.dirname(os.path.realpath(__file__))
JOBS = int(os.environ.get("BENCH_JOBS", 10000000))
SECONDS = int(os.environ.get("BENCH_SECONDS", 5))
CALLS = int(os.environ.get("BENCH_CALLS", 2000))
PARTS = os.environ.get("BENCH_PARTS", "make reads rates backlog cleanup months").split()
DAYS = 300


def run(*args, **more):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def figure(name, value, unit):
    print("figure %s %.4g %s" % (name, value, unit), flush=True)


def ratio(name, above, below, floor):
    print("ratio %s %.2f %s" % (name, above / below if below else 0, floor), flush=True)


def make_stubs():
    """The contract for Python, as the README has it."""
    out, proto = os.path.join(WORK, "python"), os.path.join(HERE, "..", "proto")
    os.makedirs(out, exist_ok=True)
    files = [os.path.join(proto, "joblog/v1", f) for f in sorted(os.listdir(os.path.join(proto, "joblog/v1")))]
    run("protoc", "-I", proto, "--python_out=" + out, "--grpc_out=" + out,
        "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", *[f for f in files if f.endswith(".proto")])
    sys.path.insert(0, out)


class Server:
    """A joblogd with an embedded PostgreSQL in a directory that stays when it stops."""

    def __init__(self, name):
        self.dir = os.path.join(WORK, name)
        self.start()
        atexit.register(self.stop)

    def start(self):
        self.process = subprocess.Popen([BIN + "/joblogd", "--embedded", self.dir, "--listen", "127.0.0.1:0", "--log-level",
                                         "warning"], stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, XDG_STATE_HOME=WORK))
        line = self.process.stdout.readline()
        if "listen=" not in line:
            sys.exit("bench: joblogd did not start")
        self.address = re.search(r"listen=([^ ,]+)", line).group(1)
        self.token = os.path.join(self.dir, "admin-token")
        self.uri = "host=%s/run user=joblog dbname=joblog" % self.dir
        self.env = dict(os.environ, JOBLOG_TOKEN_FILE=self.token, JOBLOG_SERVER=self.address, XDG_CONFIG_HOME=WORK,
                        XDG_STATE_HOME=WORK)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def dispatch_rate(self):
        out = run(BIN + "/bench_dispatch", "--server", self.address, "--token-file", self.token, "--in-flight", "64", "--seconds",
                  str(SECONDS))
        return float(re.search(r"figure dispatch_64 ([0-9.]+)", out).group(1))

    def psql(self, *args):
        return run("psql", self.uri, "-XqAt", "-v", "ON_ERROR_STOP=1", *args)


def percentile(times, part):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * part))]


def measure(name, call, n, limit_ms):
    """p99 of n calls, each with the number of the call; after some that warm up."""
    for i in range(min(n, 50)):
        call(i)
    times = []
    for i in range(n):
        begin = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - begin) * 1000)
    figure("history_%s_p50" % name, percentile(times, 0.5), "ms")
    figure("history_%s_p99" % name, percentile(times, 0.99), "ms")
    ratio("history_%s_headroom" % name, limit_ms, percentile(times, 0.99), 1)


def reads(stub, who, ids, behind=False):
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp
    from joblog.v1 import job_log_pb2 as log, job_pb2 as job, job_stats_pb2 as stats
    some = random.Random(1)
    measure("get", lambda i: stub.GetJob(log.GetJobRequest(id=ids[some.randrange(len(ids))], view=2), metadata=who), CALLS, 10)
    ago = lambda days: Timestamp(seconds=int(time.time() - days * 86400))
    filters = {
        "all": lambda i: {},
        "names": lambda i: {"job_names": ["name-%d" % (i % 10)]},
        "queues": lambda i: {"queues": ["queue-%d" % (i % 2)]},
        "completed": lambda i: {"statuses": [job.JOB_STATUS_COMPLETED]},
        "failed": lambda i: {"statuses": [job.JOB_STATUS_FAILED]},
        "cancelled": lambda i: {"statuses": [job.JOB_STATUS_CANCELLED], "job_names": ["name-9"]},
        "pending": lambda i: {"statuses": [job.JOB_STATUS_PENDING]},
        "running": lambda i: {"statuses": [job.JOB_STATUS_RUNNING]},
        "owner": lambda i: {"owner": "owner-%d" % (i % 1000)},
        "source": lambda i: {"source": job.Source(type="order", id=str(i % 100000))},
        "labels": lambda i: {"labels": {"tenant": "tenant-%d" % (i % 50 * 10)}},
        "batch": lambda i: {"batch": "batch-%d" % (i % max(JOBS // 1000, 1))},
        "error_type": lambda i: {"error_types": ["Timeout"]},
        "rare_error_type": lambda i: {"error_types": ["Rare-%d" % (i % 100)]},
        "error_text": lambda i: {"error_types": ["Timeout"], "error_text": "no answer"},
        "payload": lambda i: {"owner": "owner-%d" % (i % 1000), "payload": [log.PayloadMatch(path="to", equals='"nobody"')]},
        "start_time": lambda i: {"start_time_from": ago(i % 200 + 2), "start_time_before": ago(i % 200 + 1)},
        "end_time": lambda i: {"end_time_from": ago(i % 200 + 2), "end_time_before": ago(i % 200 + 1),
                               "statuses": [job.JOB_STATUS_COMPLETED]},
        "ids": lambda i: {"ids": [ids[some.randrange(len(ids))] for _ in range(50)]},
        "time": lambda i: {"create_time_from": ago(i % DAYS + 2), "create_time_before": ago(i % DAYS + 1)},
        "name_status_time": lambda i: {"job_names": ["name-9"], "statuses": [job.JOB_STATUS_FAILED],
                                       "create_time_before": ago(i % 200 + 1)},
        "owner_status": lambda i: {"owner": "owner-%d" % (i % 1000), "statuses": [job.JOB_STATUS_COMPLETED]},
        "owner_pending": lambda i: {"owner": "owner-%d" % (i % 1000), "statuses": [job.JOB_STATUS_PENDING]},
        "queue_completed": lambda i: {"queues": ["queue-%d" % (i % 2)], "statuses": [job.JOB_STATUS_COMPLETED]},
    }
    if behind:
        filters = {name: filters[name] for name in ("pending", "completed", "queue_completed", "all", "labels")}
    for name, fields in filters.items():
        measure("list_" + name + ("_behind" if behind else ""), lambda i: stub.ListJobs(log.ListJobsRequest(filter=log.JobFilter(**fields(i))), metadata=who),
                CALLS // 4, 10)
    if behind:
        return
    measure("list_oldest", lambda i: stub.ListJobs(log.ListJobsRequest(order=log.JOB_ORDER_OLDEST_FIRST), metadata=who),
            CALLS // 4, 10)
    ranges = {"day": (1, 0), "90_days": (90, 0), "300_days_by_day": (300, stats.STATS_BUCKET_DAY),
              "week_by_hour": (7, stats.STATS_BUCKET_HOUR)}
    for name, (days, bucket) in ranges.items():
        request = stats.GetJobStatsRequest(range=Duration(seconds=days * 86400), bucket=bucket)
        measure("stats_" + name, lambda i: stub.GetJobStats(request, metadata=who), CALLS // 4, 5)


def quiet(stub, who, seconds=20):
    """What a dispatch takes at worst while nothing else happens: the disk of a shared machine has bad moments by itself."""
    from joblog.v1 import job_log_pb2 as log, job_pb2 as job
    request = log.DispatchJobRequest(job=job.JobSpec(job_name="beside", queue="beside"))
    times, until = [], time.time() + seconds
    while time.time() < until:
        begin = time.perf_counter()
        stub.DispatchJob(request, metadata=who)
        times.append((time.perf_counter() - begin) * 1000)
    figure("history_quiet_dispatch_p99", percentile(times, 0.99), "ms")
    figure("history_quiet_slowest_dispatch", max(times), "ms")


def clean_up(server, stub, who):
    """The oldest tenth goes while somebody dispatches one job after the other. Gives the slowest dispatch, in ms."""
    from joblog.v1 import job_log_pb2 as log, job_pb2 as job
    times, done = [], threading.Event()

    def dispatch():
        request = log.DispatchJobRequest(job=job.JobSpec(job_name="beside", queue="beside"))
        while not done.is_set():
            begin = time.perf_counter()
            stub.DispatchJob(request, metadata=who)
            times.append((time.perf_counter() - begin) * 1000)

    thread = threading.Thread(target=dispatch)
    thread.start()
    try:
        begin = time.perf_counter()
        out = run(BIN + "/joblog", "cleanup", "--older-than", "%dd" % (DAYS * 9 // 10), "--json", env=server.env)
        took = time.perf_counter() - begin
    finally:
        done.set()
        thread.join()
    deleted = sum(int(n) for n in re.findall(r'"(?:completed|failed|cancelled)":(\d+)', out))
    figure("history_cleanup", deleted / took, "jobs/s")
    figure("history_cleanup_dispatch_p99", percentile(times, 0.99), "ms")
    return deleted, max(times)


def drop_months(server, stub, who):
    """The rules take the oldest months as a whole, beside dispatches. Gives the slowest dispatch, in ms."""
    from joblog.v1 import job_log_pb2 as log, job_pb2 as job
    tables = "select count(*) from pg_class where relname ~ '^job_state_[0-9]{6}$' and relkind = 'r'"
    before = int(server.psql("-c", tables))
    server.psql("-c", "insert into joblog.retention select '', s, interval '200 days' from unnest(array['completed', 'failed',"
                      " 'cancelled']) s")
    request = log.DispatchJobRequest(job=job.JobSpec(job_name="beside", queue="beside"))
    times, until = [], time.time() + 150
    while time.time() < until and (len(times) % 2000 or int(server.psql("-c", tables)) >= before - 1):
        begin = time.perf_counter()
        stub.DispatchJob(request, metadata=who)
        times.append((time.perf_counter() - begin) * 1000)
    figure("history_months_dropped", before - int(server.psql("-c", tables)), "months")
    return max(times)


def rates(server):
    """Dispatches against it and against one that is empty, in turns; the better of each."""
    empty, both = Server("empty"), {}
    for _ in range(3):
        for name, s in (("empty", empty), ("history", server)):
            both.setdefault(name, []).append(s.dispatch_rate())
    empty.stop()
    for name, values in both.items():
        figure("history_dispatch_64_" + name, max(values), "/s")
    ratio("history_dispatch", max(both["history"]), max(both["empty"]), 0.9)


def make(server):
    begin = time.time()
    server.psql("-v", "jobs=%d" % JOBS, "-f", os.path.join(HERE, "history.sql"))
    figure("history_made", JOBS / (time.time() - begin), "jobs/s")
    figure("history_bytes", int(server.psql("-c", "select pg_database_size('joblog')")) / JOBS, "bytes/job")
    server.stop()  # it knows its counters by heart
    server.start()


BACKLOG = 70000


def backlog(server, stub, who, ids):
    """BACKLOG jobs wait, all of them newer than what has ended: lists that would meet them first."""
    lines = '{"job_name":"name-3","queue":"queue-1"}\n' * BACKLOG
    run(BIN + "/joblog", "dispatch-many", input=lines, env=server.env)
    reads(stub, who, ids, behind=True)


def some_ids(server):
    sample = "select id from joblog.job tablesample system (%s) limit 20000"
    return [int(i) for i in (server.psql("-c", sample % 0.1) or server.psql("-c", sample % 100)).split()]


def main():
    os.makedirs(WORK, exist_ok=True)
    make_stubs()
    from joblog.v1 import job_log_pb2_grpc
    server = Server("data")
    if "make" in PARTS:
        make(server)
    stub = job_log_pb2_grpc.JobLogServiceStub(grpc.insecure_channel(server.address))
    who = [("authorization", "Bearer " + open(server.token).read().strip())]
    if "reads" in PARTS:
        reads(stub, who, some_ids(server))
    if "rates" in PARTS:
        rates(server)
    if "backlog" in PARTS:
        backlog(server, stub, who, some_ids(server))
    if "cleanup" in PARTS or "months" in PARTS:
        quiet(stub, who)
    if "cleanup" in PARTS:
        deleted, slowest = clean_up(server, stub, who)
        figure("history_cleanup_deleted", deleted, "jobs")
        figure("history_cleanup_slowest_dispatch", slowest, "ms")
        ratio("history_cleanup_headroom", 50, slowest, 1)
    if "months" in PARTS:
        slowest = drop_months(server, stub, who)
        figure("history_months_slowest_dispatch", slowest, "ms")
        ratio("history_months_headroom", 50, slowest, 1)


main()
