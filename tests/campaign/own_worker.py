#!/usr/bin/python3
"""own_worker.py STUBS ADDRESS TOKEN-FILE NAME RECORD QUEUE...: a service that runs work of its own and logs it as jobs, by
the unary calls StartJob, ReportProgress, WriteJobLog, CompleteJob and FailJob over stock gRPC.

As rude as raw_worker.py, and it writes down the same: it repeats each call until it is answered, and often goes on although
it was told that its lease is lost. SIGTERM: it finishes what it has begun.
"""
import json
import os
import random
import signal
import sys
import threading
import time

STUBS, ADDRESS, TOKEN_FILE, NAME, RECORD, *QUEUES = sys.argv[1:]
sys.path.insert(0, STUBS)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc  # noqa: E402
import load  # noqa: E402
import record  # noqa: E402
from joblog.v1 import job_log_pb2, job_log_pb2_grpc, job_pb2, worker_pb2, worker_pb2_grpc  # noqa: E402

THREADS = 3
RENEW_S = 0.3
# What its jobs do, and how often; how often they may be tried: after the first time by whatever worker.
KINDS = [("complete", 60), ("fail_first", 20), ("fail", 10)]
ATTEMPTS = [1, 2, 3, 5]
CANCELLED_ONE_IN = 20

# An attempt to connect that met a frozen server lasts 20 s by itself, and a job takes several calls.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100),
           ("grpc.min_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 300)]
AWAY_S = 25

stopping = threading.Event()


class Own:
    """One thread's work."""

    def __init__(self, number, write_down, token):
        self.number, self.record = number, write_down
        self.random = random.Random(f"{NAME} {os.getpid()} {number}")
        self.metadata = [("authorization", "Bearer " + token)]
        self.channel = grpc.insecure_channel(ADDRESS, OPTIONS)
        self.worker = worker_pb2_grpc.WorkerServiceStub(self.channel)
        self.job_log = job_log_pb2_grpc.JobLogServiceStub(self.channel)
        self.made = 0

    def run(self):
        while not stopping.is_set():
            self.run_one()
            stopping.wait(self.random.uniform(0, 0.3))

    def call(self, call, request):
        """The answer, or the error of who refused it. A worker that is told to end waits AWAY_S for a server that is away."""
        began = time.monotonic()
        while True:
            try:
                return call(request, metadata=self.metadata, timeout=5)
            except grpc.RpcError as error:
                if error.code().name not in load.AWAY:
                    return error
                if stopping.is_set() and time.monotonic() > began + AWAY_S:
                    os._exit(1)  # what has no answer is as that of a worker that was killed
                time.sleep(0.02)

    # ---- one job ----

    def run_one(self):
        self.made += 1
        number = time.time_ns() // 1000 * 100 + int(NAME[1:]) * THREADS + self.number
        (how,) = self.random.choices([k for k, _ in KINDS], [w for _, w in KINDS])
        payload = {"how": how, "ms": int(min(2500, self.random.expovariate(1 / 100))), "n": number}
        spec = job_pb2.JobSpec(job_name=how, queue=self.random.choice(QUEUES), payload=json.dumps(payload))
        spec.retry_policy.max_attempts = self.random.choice(ATTEMPTS)
        spec.retry_policy.initial_backoff.FromMilliseconds(50)
        request_id = f"{NAME}-{os.getpid()}-{number}"
        request = worker_pb2.StartJobRequest(job=spec, worker=NAME, request_id=request_id, run_id="run of " + request_id)
        started = self.call(self.worker.StartJob, request)
        if isinstance(started, grpc.RpcError):
            self.record("unexpected", what=f"StartJob: {started.code().name} {started.details()}")
            return
        self.record("acked", job=started.job.id, n=number)
        if started.lease_token:  # else it was lost before the answer of a repeated call
            self.record("lease", started)
            self.work(started, payload)

    def write(self, lease, kind, call, request):
        """Whether it was taken, or the worker goes on as if it had been; and the answer."""
        self.made += 1
        number = self.made * THREADS + self.number
        self.record("write", lease, kind=kind, id=number)
        request.job_id, request.lease_token = lease.job.id, lease.lease_token
        answer = self.call(call, request)
        refused = isinstance(answer, grpc.RpcError)
        self.record("answer", lease, kind=kind, id=number, ok=not refused, code=answer.code().value[0] if refused else 0,
                    status=0, message=answer.details() if refused else "")
        return not refused or self.random.random() < 0.5, answer

    def report(self, lease, progress=None):
        request = worker_pb2.ReportProgressRequest(progress=progress)
        goes_on, answer = self.write(lease, "progress", self.worker.ReportProgress, request)
        cancelled = not isinstance(answer, grpc.RpcError) and answer.HasField("cancel_request")
        return goes_on, cancelled

    def work(self, lease, payload):
        patch = worker_pb2.ProgressWrite(payload_patch=json.dumps({"token": str(lease.lease_token)}))
        goes_on, cancelled = self.report(lease, patch)
        line = job_pb2.LogLine(level=job_pb2.LOG_LEVEL_INFO, text=str(lease.lease_token))
        request = worker_pb2.WriteJobLogRequest(log=worker_pb2.LogWrite(lines=[line]))
        goes_on = goes_on and self.write(lease, "log", self.worker.WriteJobLog, request)[0]
        if self.random.randrange(CANCELLED_ONE_IN) == 0:
            self.call(self.job_log.CancelJob, job_log_pb2.CancelJobRequest(id=lease.job.id, reason="campaign"))
        until = time.monotonic() + payload["ms"] / 1000
        while goes_on and not cancelled:
            time.sleep(max(0.0, min(RENEW_S, until - time.monotonic())))
            goes_on, cancelled = self.report(lease, worker_pb2.ProgressWrite(progress=job_pb2.Progress(done=1, total=2)))
            if time.monotonic() >= until:
                break
        if goes_on:
            self.finish(lease, payload["how"], cancelled)

    def finish(self, lease, how, cancelled):
        error = job_pb2.JobError(type="Campaign", message=how)
        if cancelled:
            request = worker_pb2.FailJobRequest(fail=worker_pb2.FailWrite(error=error, cancelled=True))
            self.write(lease, "cancelled", self.worker.FailJob, request)
        elif how in ("fail", "fail_first"):
            self.write(lease, "fail", self.worker.FailJob, worker_pb2.FailJobRequest(fail=worker_pb2.FailWrite(error=error)))
        else:
            complete = worker_pb2.CompleteWrite(result=json.dumps({"token": str(lease.lease_token)}))
            self.write(lease, "complete", self.worker.CompleteJob, worker_pb2.CompleteJobRequest(complete=complete))


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    write_down = record.Record(RECORD, NAME)
    token = open(TOKEN_FILE, encoding="ascii").read().strip()
    threads = [threading.Thread(target=Own(n, write_down, token).run) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write_down("bye")


if __name__ == "__main__":
    main()
