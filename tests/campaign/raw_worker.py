#!/usr/bin/python3
"""raw_worker.py STUBS ADDRESS TOKEN-FILE NAME RECORD QUEUE...: a worker over stock gRPC that writes down everything it does.

It is no model of a worker: it repeats writes whose answer is missing, comes back with old leases however long it was away,
and often writes on although it was told that a lease is lost, since the server has to refuse that. RECORD gets a line of
JSON before each write is sent and for each answer, at once, so that SIGKILL loses none. SIGTERM drains.
"""
import heapq
import json
import os
import queue
import random
import signal
import sys
import threading
import time

STUBS, ADDRESS, TOKEN_FILE, NAME, RECORD, *QUEUES = sys.argv[1:]
sys.path.insert(0, STUBS)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc  # noqa: E402
import record  # noqa: E402
from joblog.v1 import job_pb2, worker_pb2, worker_pb2_grpc  # noqa: E402

SLOTS = 6
NO_END = ("progress", "log")  # kinds of writes after which the attempt goes on
AGAIN = (4, 8, 10, 14)  # codes of a write that is to be sent again: the lease is still there
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100),
           ("grpc.min_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 300)]


class Running:
    """A lease, and what is left to do of it."""

    def __init__(self, lease):
        self.lease = lease
        self.payload = json.loads(lease.job.payload)
        self.cancel = self.lost = False
        self.end = None  # the write that ends it, once it was sent


class Stream:
    """One connection. What comes goes to the worker's events with the stream that it came from."""

    def __init__(self, events, token):
        self.events = events
        self.out = queue.SimpleQueue()
        self.channel = grpc.insecure_channel(ADDRESS, OPTIONS)
        stub = worker_pb2_grpc.WorkerServiceStub(self.channel)
        self.call = stub.Work(iter(self.out.get, None), metadata=[("authorization", "Bearer " + token)])
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self.call:
                self.events.put((self, response))
            self.events.put((self, None))
        except grpc.RpcError as error:
            self.events.put((self, error))

    def close(self):
        self.out.put(None)
        self.call.cancel()
        self.channel.close()


class Worker:
    def __init__(self):
        self.record = record.Record(RECORD, NAME)
        self.random = random.Random(f"{NAME} {os.getpid()}")
        self.token = open(TOKEN_FILE, encoding="ascii").read().strip()
        self.events = queue.SimpleQueue()
        self.running = {}  # lease token: Running
        self.unanswered = {}  # write id: (WorkerWrite, kind, Running, time of the first try)
        self.timers = []  # (time, number, what)
        self.last_id = 0
        self.stream = None
        self.timeout_s = 2.0
        self.draining = False

    # ---- time ----

    def after(self, seconds, what):
        self.last_id += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds, self.last_id, what))

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.events.put((None, "drain")))
        self.connect()
        self.after(0.1, self.heartbeat)
        while not (self.draining and not self.running):
            wait = max(0.0, self.timers[0][0] - time.monotonic())
            try:
                self.take(*self.events.get(timeout=wait))
            except queue.Empty:
                heapq.heappop(self.timers)[2]()
        self.record("bye")

    # ---- the stream ----

    def connect(self):
        if self.stream:
            self.stream.close()
        self.stream = Stream(self.events, self.token)
        hello = worker_pb2.WorkerHello(name=NAME, pid=os.getpid(), queues=QUEUES)
        credit = 0 if self.draining else max(0, SLOTS - len(self.running))
        self.stream.out.put(worker_pb2.WorkRequest(hello=hello, add_credit=credit))
        self.record("connect")
        for write, *_ in list(self.unanswered.values()):
            self.send(write)
        for one in list(self.running.values()):
            if not one.end:
                self.write(one, "progress", progress=worker_pb2.ProgressWrite())  # the lease moves to this stream

    def heartbeat(self):
        now = time.monotonic()
        if any(now - since > 2 * self.timeout_s for *_, since in self.unanswered.values()):
            self.record("deaf")
            self.connect()
            for write_id, (write, kind, one, _) in self.unanswered.items():
                self.unanswered[write_id] = (write, kind, one, now)
        else:
            self.stream.out.put(worker_pb2.WorkRequest())
        self.after(self.timeout_s / 3, self.heartbeat)

    def take(self, stream, what):
        if what == "drain":
            self.draining = True
            self.stream.out.put(worker_pb2.WorkRequest(draining=True))
        elif stream is not self.stream:
            return
        elif what is None or isinstance(what, grpc.RpcError):
            self.record("lost", why=str(what.code() if what else "end"))
            self.after(self.random.uniform(0.05, 0.3), lambda: self.reconnect(stream))
        else:
            self.take_response(what)

    def reconnect(self, stream):
        if self.stream is stream:
            self.connect()

    def take_response(self, response):
        if response.HasField("welcome"):
            self.timeout_s = response.welcome.lease_timeout.ToMilliseconds() / 1000
        for lease in response.leases:
            one = self.running[lease.lease_token] = Running(lease)
            self.record("lease", lease)
            self.begin(one)
        for result in response.results:
            self.take_result(result)
        for cancel in response.cancels:
            one = self.running.get(cancel.lease_token)
            if one:
                one.cancel = cancel.HasField("cancel_request")
                one.lost = not one.cancel
                self.record("cancel" if one.cancel else "revoked", one.lease)
                if one.lost and self.random.random() < 0.5:
                    self.drop(one)

    def take_result(self, result):
        write, kind, one, _ = self.unanswered.pop(result.write_id, (None,) * 4)
        if not write:
            return
        self.record("answer", one.lease, kind=kind, id=result.write_id, ok=result.accepted, code=result.code,
                    status=result.status, message=result.message)
        if result.code in AGAIN:
            self.unanswered[result.write_id] = (write, kind, one, time.monotonic())
            stream = self.stream
            self.after(0.25, lambda: self.send_again(stream, result.write_id))
        elif kind not in NO_END or (not result.accepted and self.random.random() < 0.5):
            self.drop(one)  # else, of a lease that is lost, it goes on as if nothing was

    def drop(self, one):
        if self.running.pop(one.lease.lease_token, None) and not self.draining:
            self.stream.out.put(worker_pb2.WorkRequest(add_credit=1))

    # ---- jobs ----

    def write(self, one, kind, **fields):
        self.last_id += 1
        write = worker_pb2.WorkerWrite(write_id=self.last_id, job_id=one.lease.job.id, lease_token=one.lease.lease_token,
                                       **fields)
        self.unanswered[write.write_id] = (write, kind, one, time.monotonic())
        if kind not in NO_END:
            one.end = write
        self.record("write", one.lease, kind=kind, id=write.write_id)
        self.send(write)

    def send(self, write):
        self.stream.out.put(worker_pb2.WorkRequest(writes=[write]))

    def send_again(self, stream, write_id):
        if stream is self.stream and write_id in self.unanswered:  # a later stream has it from its beginning
            self.send(self.unanswered[write_id][0])

    def begin(self, one):
        patch = json.dumps({"token": str(one.lease.lease_token)})
        self.write(one, "progress", progress=worker_pb2.ProgressWrite(payload_patch=patch))
        line = job_pb2.LogLine(level=job_pb2.LOG_LEVEL_INFO, text=str(one.lease.lease_token))
        self.write(one, "log", log=worker_pb2.LogWrite(lines=[line]))
        seconds = one.payload["ms"] / 1000
        if one.payload["how"] == "hang" and one.lease.job.attempt == 1:
            return  # until the campaign ends this worker
        self.after(seconds / 2, lambda: self.half(one))
        self.after(seconds, lambda: self.finish(one))

    def is_mine(self, one):
        return self.running.get(one.lease.lease_token) is one and not one.end

    def half(self, one):
        if self.is_mine(one):
            progress = job_pb2.Progress(done=1, total=2, unit="halves", step="half-way")
            self.write(one, "progress", progress=worker_pb2.ProgressWrite(progress=progress))

    def finish(self, one):
        if not self.is_mine(one):
            return
        how = one.payload["how"]
        first = one.lease.job.attempt == 1
        error = job_pb2.JobError(type="Campaign", message=how)
        if one.cancel:
            self.write(one, "cancelled", fail=worker_pb2.FailWrite(error=error, cancelled=True))
        elif how == "fail" or (how == "fail_first" and first):
            self.write(one, "fail", fail=worker_pb2.FailWrite(error=error))
        elif how == "release" and first:
            self.write(one, "release", release=worker_pb2.ReleaseWrite())
        elif how == "snooze" and first:
            snooze = worker_pb2.SnoozeWrite(reason="campaign")
            snooze.delay.FromMilliseconds(100)
            self.write(one, "snooze", snooze=snooze)
        else:
            result = json.dumps({"token": str(one.lease.lease_token)})
            self.write(one, "complete", complete=worker_pb2.CompleteWrite(result=result))


if __name__ == "__main__":
    Worker().run()
