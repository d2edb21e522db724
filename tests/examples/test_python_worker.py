#!/usr/bin/python3
"""test_python_worker.py BIN TREE: client/examples/python/worker.py against a real joblogd, which is also killed and restarted.

Written as a story: each part needs what the one before left.
"""
import json
import os
import signal
import socket
import subprocess
import sys

BIN, TREE = sys.argv[1:]
sys.path[:0] = [os.path.join(TREE, "tests", folder) for folder in ("integration", "campaign")]
import cluster  # noqa: E402
from export_fixture import Fixture  # noqa: E402

for variable in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ.pop(variable, None)
PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = range(1, 6)
LOST, RELEASED = 4, 5
# Handlers that end in all ways but a good one.
ODD = """
import sys
import worker

k = worker.Worker(sys.argv[1], worker.read_token(), ["odd"], 2)

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError

@k.handler("odd")
def odd(job):
    how = job.payload["how"]
    job.log("a\\0b \\udcff")
    if how == "number":
        return float("nan")
    if how == "result":
        return "a\\0b"
    if how == "exit":
        sys.exit("enough")
    if how == "snooze":
        raise worker.Snooze(float("inf"))
    if how == "unspeakable":
        raise Unspeakable
    job.progress(1, 2, "\\0" * 60, "\\udcff" * 600)
    raise RuntimeError({"nul": "a\\0b", "surrogate": "file \\udcff.txt", "long": "\u00e9" * 40000}[how])

k.run()
"""


class Story:
    def __init__(self):
        # A lease outlives a restart of the server on a busy machine.
        self.server, self.worker = Fixture(BIN, "--lease-timeout-ms=60000"), None

    def prepare(self):
        stubs = cluster.make_stubs(TREE, self.server.dir)
        sys.path.insert(0, stubs)
        import grpc
        from joblog.v1 import job_log_pb2, job_log_pb2_grpc, job_pb2
        self.pb, self.job_pb = job_log_pb2, job_pb2
        self.env = dict(self.server.env, PYTHONPATH=stubs)
        token = open(self.env["JOBLOG_TOKEN_FILE"], encoding="ascii").read().strip()
        self.who = [("authorization", "Bearer " + token)]
        self.channel = grpc.insecure_channel(self.server.address, [("grpc.enable_retries", 0)])
        self.stub = job_log_pb2_grpc.JobLogServiceStub(self.channel)

    def start_worker(self):
        program = os.path.join(TREE, "client/examples/python/worker.py")
        self.worker = subprocess.Popen(["/usr/bin/python3", "-B", program, "--server", self.server.address], env=self.env,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.await_ready()

    def await_ready(self):
        line = self.worker.stdout.readline()
        assert line == "worker ready\n", (line, self.worker.stderr.read())

    def dispatch(self, name, payload, attempts=1, queue="default"):
        spec = self.job_pb.JobSpec(job_name=name, payload=json.dumps(payload), queue=queue)
        spec.retry_policy.max_attempts = attempts
        spec.retry_policy.initial_backoff.FromMilliseconds(10)
        return self.call("DispatchJob", self.pb.DispatchJobRequest(job=spec)).id

    def call(self, name, request):
        return getattr(self.stub, name)(request, metadata=self.who, timeout=60, wait_for_ready=True)

    def get(self, job):
        return self.call("GetJob", self.pb.GetJobRequest(id=job, view=self.job_pb.JOB_VIEW_FULL))

    def watch(self, job):
        request = self.pb.WatchJobRequest(id=job, view=self.job_pb.JOB_VIEW_FULL)
        return (event.job for event in self.stub.WatchJob(request, metadata=self.who, timeout=60, wait_for_ready=True))

    def until(self, job, condition):
        return next(seen for seen in self.watch(job) if condition(seen))

    def end(self, job):
        """The final record."""
        import grpc

        while True:
            try:
                return [seen for seen in self.watch(job)][-1]
            except grpc.RpcError as error:  # the connection of before a restart
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise


def check_progress_and_result(story):
    job = story.dispatch("resize_images", {"images": 5})
    seen = list(story.watch(job))
    last = seen[-1]
    assert (last.status, json.loads(last.result)) == (COMPLETED, {"images": 5}), last
    assert (last.progress.done, last.progress.total, last.progress.unit) == (5, 5, "images"), last
    assert json.loads(last.payload)["resized"] == 5 and last.attempt == 1, last
    parts = story.stub.GetJobLog(story.pb.GetJobLogRequest(id=job), metadata=story.who, timeout=60)
    assert [line.text for part in parts for line in part.lines] == ["attempt 1: 5 images"]


def check_failure(story):
    last = story.end(story.dispatch("resize_images", {}, attempts=2))
    assert (last.status, last.attempt, last.error.type, last.error.message) == (FAILED, 2, "KeyError", "'images'"), last
    assert "worker.py" in last.error.stack_trace and "resize_images" in last.error.stack_trace, last
    path = os.path.join(story.server.dir, "catalogue")
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
    last = story.end(story.dispatch("import_catalogue", {"file": path}, attempts=5))
    assert (last.status, last.attempt, last.error.type) == (FAILED, 1, "FailForGood"), last


def check_odd_ends(story):
    """Whatever a handler returns or raises, its job ends, and the worker goes on."""
    program = os.path.join(story.server.dir, "odd.py")
    with open(program, "w", encoding="utf-8") as file:
        file.write(ODD)
    folders = [os.path.join(TREE, "client/examples/python"), story.env["PYTHONPATH"]]
    worker = subprocess.Popen(["/usr/bin/python3", "-B", program, story.server.address],
                              env=dict(story.env, PYTHONPATH=":".join(folders)), stderr=subprocess.PIPE, text=True)
    try:
        wanted = {"number": ("ValueError", "JSON"), "result": ("ResultRefused", "result"), "exit": ("SystemExit", "enough"),
                  "snooze": ("OverflowError", "infinity"), "unspeakable": ("Unspeakable", ""), "nul": ("RuntimeError", "a?b"),
                  "surrogate": ("RuntimeError", "file ?.txt"), "long": ("RuntimeError", "\u00e9" * 8192), "payload": ("KeyError", "")}
        jobs = {how: story.dispatch("odd", {"how": how}, queue="odd") for how in wanted}
        for how, (error, words) in wanted.items():
            last = story.end(jobs[how])
            assert (last.status, last.attempt, last.error.type) == (FAILED, 1, error), (how, last)
            assert words in last.error.message and len(last.error.message.encode()) <= 16384, (how, last)
        assert worker.poll() is None, worker.stderr.read()
    finally:
        worker.kill()
        worker.wait()


def check_snooze(story):
    path = os.path.join(story.server.dir, "later")
    job = story.dispatch("import_catalogue", {"file": path})
    put_off = story.until(job, lambda seen: len(seen.attempts) == 1 and seen.status == PENDING)
    assert put_off.attempts[0].outcome == RELEASED and put_off.transitions[-1].reason == "the file is not there yet", put_off
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write("[1, 2, 3]")
    os.rename(path + ".new", path)
    last = story.end(job)
    assert last.status == COMPLETED and json.loads(last.payload)["articles"] == 3, last


def check_cancel(story):
    job = story.dispatch("resize_images", {"images": 2, "ms": 60000})
    story.until(job, lambda seen: seen.status == RUNNING)
    story.call("CancelJob", story.pb.CancelJobRequest(id=job, reason="changed my mind"))
    last = story.end(job)
    assert last.status == CANCELLED and last.transitions[-1].reason == "changed my mind", last


def check_resume(story):
    """The server is killed while a job runs. The attempt goes on, and what it did meanwhile counts."""
    job = story.dispatch("resize_images", {"images": 40, "ms": 50})
    story.until(job, lambda seen: seen.progress.done >= 2)
    story.server.server.kill()
    story.server.server.wait()
    story.server.start("--lease-timeout-ms=60000")
    story.await_ready()
    last = story.end(job)
    assert (last.status, last.attempt, json.loads(last.payload)["resized"]) == (COMPLETED, 1, 40), last


def check_drain(story):
    """SIGTERM while a job runs: it ends, the next one is left alone, and the worker ends well."""
    job = story.dispatch("resize_images", {"images": 10, "ms": 50})
    story.until(job, lambda seen: seen.progress.done >= 1)
    story.worker.send_signal(signal.SIGTERM)
    assert story.end(job).status == COMPLETED
    waits = story.dispatch("resize_images", {"images": 1})
    assert story.worker.wait(60) == 0, story.worker.stderr.read()
    assert story.get(waits).status == PENDING
    story.start_worker()
    assert story.end(waits).status == COMPLETED


def check_leave(story):
    """An operator asks it to go: it ends its job, does not come again, and ends well."""
    from joblog.v1 import worker_pb2, worker_pb2_grpc

    job = story.dispatch("resize_images", {"images": 10, "ms": 50})
    story.until(job, lambda seen: seen.progress.done >= 1)
    operators = worker_pb2_grpc.WorkerServiceStub(story.channel)
    host = socket.gethostname()
    asked = operators.DrainWorkers(worker_pb2.DrainWorkersRequest(host=host, reason="a new version"), metadata=story.who,
                                   timeout=60)
    assert asked.session_ids, asked  # with sessions of before, until their leases would have run out
    assert story.end(job).status == COMPLETED
    assert story.worker.wait(60) == 0, story.worker.stderr.read()


def check_refusal(story):
    """A worker that nobody knows ends with the server's words."""
    done = subprocess.run(["/usr/bin/python3", "-B", os.path.join(TREE, "client/examples/python/worker.py"), "--server",
                           story.server.address], env={**story.env, "JOBLOG_TOKEN_FILE": "", "JOBLOG_TOKEN": "nonsense"},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "UNAUTHENTICATED" in done.stderr, done


def main():
    story = Story()
    try:
        story.prepare()
        story.start_worker()
        for check in (check_progress_and_result, check_failure, check_odd_ends, check_snooze, check_cancel, check_resume,
                      check_drain, check_leave, check_refusal):
            check(story)
            print(check.__name__, "passed", flush=True)
    finally:
        if story.worker and story.worker.poll() is None:
            story.worker.kill()
        story.server.stop()


if __name__ == "__main__":
    main()
