#!/usr/bin/python3
"""A worker in Python, over stock gRPC: no library of Joblog's, only stubs that protoc makes from proto/joblog/v1.

    worker.py [--server HOST:PORT] [--queue NAME] [--concurrency N]     (token: $JOBLOG_TOKEN_FILE or $JOBLOG_TOKEN)

Worker speaks the protocol (docs/worker-protocol.md): handlers run on threads, an exception is a failed attempt with its
traceback, SIGTERM drains, a broken connection is resumed. Below it are two handlers and a main programme. README.md says how
the stubs are made.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import functools
import itertools
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any, Callable, Iterator

import grpc
from joblog.v1 import job_pb2, worker_pb2, worker_pb2_grpc

# The server is away, or has cut the stream off: come again.
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)
# A stream that gRPC tries again by itself may hang for ever, and without bounds it may take minutes until gRPC looks again for
# a server that was away (docs/interop.md). Without the last three a connection that dies without a word is never noticed, and
# the leases are lost.
OPTIONS = [("grpc.enable_retries", 0), ("grpc.min_reconnect_backoff_ms", 5000), ("grpc.max_reconnect_backoff_ms", 5000),
           ("grpc.keepalive_time_ms", 7000), ("grpc.keepalive_timeout_ms", 8000), ("grpc.http2.max_pings_without_data", 0)]
# Codes of a refused write (docs/worker-protocol.md, "A write that is refused"): the lease is gone; to be sent again.
GONE, AGAIN = (5, 9), (4, 8, 10, 14)


def clean(text: str, most: int) -> str:
    """Text as the server takes it: UTF-8 without NUL, so many bytes at most. Other text would end the stream."""
    return text.encode("utf-8", "replace").replace(b"\0", b"?")[:most].decode("utf-8", "ignore")


class Cancelled(Exception):
    """Somebody asked for a cancel, or the job is no longer this worker's."""


class Snooze(Exception):
    """Raised by a handler: not yet, try again later. The attempt does not count."""

    def __init__(self, seconds: float, reason: str = ""):
        super().__init__(reason)
        self.seconds, self.reason = seconds, reason


class FailForGood(Exception):
    """Raised by a handler: another attempt would not help."""


class Job:
    """A job in the hands of its handler."""

    def __init__(self, worker: Worker, lease: worker_pb2.Lease):
        self.id, self.name, self.attempt = lease.job.id, lease.job.job_name, lease.job.attempt
        self.token, self._payload = lease.lease_token, lease.job.payload
        self.merged: dict[str, Any] = {}
        self.cancel_requested = False
        self._worker, self._stop = worker, threading.Event()

    @functools.cached_property
    def payload(self) -> dict[str, Any]:
        """Read by the handler: a number that is too long for Python fails the job, not the worker."""
        return json.loads(self._payload)

    def progress(self, done: int, total: int, unit: str = "", step: str = "") -> None:
        """Tells how far it is; raises Cancelled when the job is to stop."""
        progress = job_pb2.Progress(done=done, total=total, unit=clean(unit, 50), step=clean(step, 500))
        self._worker.send(self, progress=worker_pb2.ProgressWrite(progress=progress))
        self.sleep(0)

    def merge_payload(self, **members: Any) -> None:
        """Leaves something for a later attempt."""
        patch = json.dumps(members, allow_nan=False)
        self.merged.update(members)
        self._worker.send(self, progress=worker_pb2.ProgressWrite(payload_patch=patch))

    def log(self, text: str) -> None:
        """A line for the job's log."""
        line = job_pb2.LogLine(level=job_pb2.LOG_LEVEL_INFO, text=clean(text, 16384))
        self._worker.send(self, log=worker_pb2.LogWrite(lines=[line]))

    def sleep(self, seconds: float) -> None:
        """As time.sleep, but raises Cancelled at once when the job is to stop."""
        if self._stop.wait(seconds):
            raise Cancelled

    def stop(self, cancel_requested: bool) -> None:
        self.cancel_requested = cancel_requested
        self._stop.set()


Handler = Callable[[Job], Any]  # what it returns is the job's result


class Worker:
    def __init__(self, server: str, token: str, queues: list[str], concurrency: int = 1):
        self._server, self._queues, self._concurrency = server, queues, concurrency
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._handlers: dict[str, Handler] = {}
        self._lock = threading.RLock()  # a signal handler may take it while its thread holds it
        self._jobs: dict[int, Job] = {}  # by lease token: those whose handler runs
        self._ends: dict[int, list[worker_pb2.WorkerWrite]] = {}  # by write id: ends that the server has not answered
        self._out: queue.SimpleQueue[worker_pb2.WorkRequest | None] = queue.SimpleQueue()
        self._write_ids = itertools.count(1)
        self._heartbeat_s = 1.0
        self._draining = False
        self._received = 0  # leases of this stream

    def handler(self, job_name: str) -> Callable[[Handler], Handler]:
        """Decorates the function that runs jobs of this name."""
        def register(function: Handler) -> Handler:
            self._handlers[job_name] = function
            return function
        return register

    def drain(self) -> None:
        """Takes no more jobs; run returns when those that run have ended."""
        with self._lock:
            self._draining = True
            self._out.put(worker_pb2.WorkRequest(draining=True))

    def run(self) -> None:
        """Until it is drained. Raises grpc.RpcError when the server refuses the worker."""
        with concurrent.futures.ThreadPoolExecutor(self._concurrency) as self._pool:
            while not (self._draining and not self._jobs and not self._ends):
                try:
                    with grpc.insecure_channel(self._server, OPTIONS) as channel:
                        self._serve(worker_pb2_grpc.WorkerServiceStub(channel))
                except grpc.RpcError as error:
                    if error.code() not in AWAY:
                        raise
                    print(f"connection lost, trying again: {error.details()}", file=sys.stderr)
                    time.sleep(0.2)  # between two tries, so as not to knock all the time

    # ---- the stream ----

    def _serve(self, stub: worker_pb2_grpc.WorkerServiceStub) -> None:
        with self._lock:
            self._out = out = queue.SimpleQueue()
            hello = worker_pb2.WorkerHello(name=f"{socket.gethostname()}:{os.getpid()}", version="1", pid=os.getpid(),
                                           host=socket.gethostname(), job_names=self._handlers, queues=self._queues,
                                           confirms_leases=True)
            self._received = 0
            credit = 0 if self._draining else self._concurrency - len(self._jobs)
            out.put(worker_pb2.WorkRequest(hello=hello, add_credit=credit, draining=self._draining))
            # After a cut: ends whose answer was lost are sent again, and a write moves a lease to this stream. What was
            # merged last may have been lost with the server, and is merged again.
            again = [write for writes in self._ends.values() for write in writes]
            again += [self._patch(job) for job in self._jobs.values()]
            out.put(worker_pb2.WorkRequest(writes=again))
        try:
            for response in stub.Work(self._requests(out), metadata=self._metadata):
                self._take(response)
        finally:
            out.put(None)

    def _requests(self, out: queue.SimpleQueue) -> Iterator[worker_pb2.WorkRequest]:
        """What is to be sent; an empty message, which is a sign of life, when there is nothing for a while."""
        while True:
            try:
                request = out.get(timeout=self._heartbeat_s)
            except queue.Empty:
                request = worker_pb2.WorkRequest()
            if request is None:
                return
            request.leases_received = self._received  # or the server would think that we do not read
            yield request

    def _take(self, response: worker_pb2.WorkResponse) -> None:
        if response.HasField("welcome"):
            self._heartbeat_s = response.welcome.heartbeat_interval.ToMilliseconds() / 1000
            print("worker ready", flush=True)
        for lease in response.leases:
            job = Job(self, lease)
            with self._lock:
                self._jobs[job.token] = job
                self._received += 1
            self._pool.submit(self._run, job)
        for result in response.results:
            self._take_result(result)
        for cancel in response.cancels:
            with self._lock:
                job = self._jobs.get(cancel.lease_token)
            if job:
                job.stop(cancel_requested=cancel.HasField("cancel_request"))
        if response.leave:  # an operator wants this worker to go
            self._draining = True
        # response.drain alone needs nothing: the server ends the stream when our jobs have ended, and we come again.

    def _take_result(self, result: worker_pb2.WriteResult) -> None:
        if not result.accepted:
            print(f"job {result.job_id}: a write was refused with code {result.code}: {result.message}", file=sys.stderr)
        with self._lock:
            end = self._ends.pop(result.write_id, None)
            job = self._jobs.get(result.write_id)  # whose handler runs still
            if end and not result.accepted and result.code not in GONE:
                if result.code not in AGAIN:  # not to the server's liking; with no other end the job would hang
                    why = job_pb2.JobError(type="ResultRefused", message=result.message)
                    end[-1].fail.CopyFrom(worker_pb2.FailWrite(error=why))
                self._ends[result.write_id] = end
                # Not at once; and on no other stream, which has it from the beginning.
                threading.Timer(0.25, self._out.put, [worker_pb2.WorkRequest(writes=end)]).start()
        if job and result.code in GONE:
            job.stop(cancel_requested=False)

    def send(self, job: Job, **what: Any) -> None:
        """A write about a job. An end is kept until the server has taken it, or the lease is gone. Other writes have the token
        for an id, so that a refusal tells which attempt it is about."""
        write = worker_pb2.WorkerWrite(write_id=job.token, job_id=job.id, lease_token=job.token, **what)
        with self._lock:
            credit = 0
            if "progress" not in what and "log" not in what:
                write.write_id = next(self._write_ids)
                self._ends[write.write_id] = [self._patch(job), write]
                del self._jobs[job.token]
                credit = 0 if self._draining else 1
            self._out.put(worker_pb2.WorkRequest(writes=[write], add_credit=credit))

    @staticmethod
    def _patch(job: Job) -> worker_pb2.WorkerWrite:
        progress = worker_pb2.ProgressWrite(payload_patch=json.dumps(job.merged) if job.merged else "")
        return worker_pb2.WorkerWrite(write_id=job.token, job_id=job.id, lease_token=job.token, progress=progress)

    # ---- a job, on a thread of the pool ----

    def _run(self, job: Job) -> None:
        try:
            end = self._end(job)
        except BaseException as error:  # pylint: disable=broad-except # sys.exit, too: without an end the job would hang
            seen = traceback.TracebackException.from_exception(error)
            why = job_pb2.JobError(type=clean(type(error).__name__, 200), message=clean(str(seen), 16384),
                                   stack_trace=clean("".join(seen.format()), 65536))
            end = {"fail": worker_pb2.FailWrite(error=why, no_retry=isinstance(error, FailForGood),
                                                cancelled=job.cancel_requested)}
        self.send(job, **end)

    def _end(self, job: Job) -> dict[str, Any]:
        try:
            result = json.dumps(self._handlers[job.name](job), allow_nan=False)
            return {"complete": worker_pb2.CompleteWrite(result=result)}
        except Snooze as snooze:
            write = worker_pb2.SnoozeWrite(reason=clean(snooze.reason, 500))
            write.delay.FromMilliseconds(int(snooze.seconds * 1000))
            return {"snooze": write}


# ---- a programme ----

def read_token() -> str:
    if path := os.environ.get("JOBLOG_TOKEN_FILE"):
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    return os.environ.get("JOBLOG_TOKEN", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=os.environ.get("JOBLOG_SERVER", "127.0.0.1:7420"))
    parser.add_argument("--queue", action="append", help="may be given several times; none: default")
    parser.add_argument("--concurrency", type=int, default=2)
    args = parser.parse_args()
    worker = Worker(args.server, read_token(), args.queue or ["default"], args.concurrency)

    @worker.handler("resize_images")
    def resize_images(job: Job) -> dict[str, int]:
        """{"images": 20, "ms": 50}: so many, each in so many milliseconds. Goes on where an earlier attempt stopped."""
        images = job.payload["images"]
        job.log(f"attempt {job.attempt}: {images} images")
        for n in range(job.payload.get("resized", 0), images):
            job.sleep(job.payload.get("ms", 10) / 1000)  # stands for the work
            job.merge_payload(resized=n + 1)
            job.progress(n + 1, images, "images", step="resizing")
        return {"images": images}

    @worker.handler("import_catalogue")
    def import_catalogue(job: Job) -> None:
        """{"file": "…"}: waits for the file; one that is no JSON is of no use, however often one tries."""
        try:
            with open(job.payload["file"], encoding="utf-8") as file:
                job.merge_payload(articles=len(json.load(file)))
        except FileNotFoundError as error:
            raise Snooze(0.5, "the file is not there yet") from error
        except ValueError as error:
            raise FailForGood(f"no JSON: {error}") from error

    signal.signal(signal.SIGTERM, lambda *_: worker.drain())
    signal.signal(signal.SIGINT, lambda *_: worker.drain())
    worker.run()


if __name__ == "__main__":
    main()
