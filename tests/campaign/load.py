"""Who asks for work: threads that dispatch jobs until they are acknowledged, and cancel some. Each call is repeated with the
same request id for as long as the server is away, as callers do."""
import json
import random
import threading
import time

AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "UNKNOWN")
# What jobs do, and how often; how often they may be tried.
KINDS = [("complete", 70), ("fail_first", 10), ("fail", 4), ("release", 8), ("snooze", 8)]
ATTEMPTS = [1, 2, 3, 5, 20]


class Load:
    def __init__(self, modules, addresses, token, seed, run_id):
        self.grpc, self.job, self.job_log, self.stub_of = modules
        self.addresses, self.run_id = addresses, run_id
        self.metadata = [("authorization", "Bearer " + token)]
        self.seed = seed
        self.acked, self.cancels, self.unexpected = {}, 0, []  # number of the job: id
        self.lock = threading.Lock()
        self.next_number = 0
        self.stopping = threading.Event()
        self.threads = []

    def start(self, threads, per_second):
        for n in range(threads):
            thread = threading.Thread(target=self._dispatch_all, args=(n, threads / per_second), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self, limit_s):
        """Waits until whatever was begun has been acknowledged."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(limit_s)
            assert not thread.is_alive(), "a dispatch was not acknowledged"

    def number(self):
        with self.lock:
            self.next_number += 1
            return self.next_number

    def spec(self, how, ms, attempts, queue, number):
        spec = self.job.JobSpec(job_name=how, queue=queue, payload=json.dumps({"how": how, "ms": ms, "n": number}))
        spec.retry_policy.max_attempts = attempts
        spec.retry_policy.initial_backoff.FromMilliseconds(50)
        spec.retry_policy.max_backoff.FromMilliseconds(200)
        return spec

    def _dispatch_all(self, n, every_s):
        rng = random.Random(f"{self.seed} load {n}")
        address = self.addresses[n % len(self.addresses)]
        with self.grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            stub = self.stub_of(channel)
            next_s = time.monotonic()
            while not self.stopping.is_set():
                (how,) = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])
                ms = int(min(3000, rng.expovariate(1 / 60)))
                spec = self.spec(how, ms, rng.choice(ATTEMPTS), rng.choice(["a", "b"]), self.number())
                job = self.dispatch(stub, spec)
                if job and rng.random() < 0.04:
                    self._cancel(stub, job)
                next_s = max(next_s + every_s, time.monotonic() - 1)
                self.stopping.wait(max(0.0, next_s - time.monotonic()))

    def dispatch(self, stub, spec):
        """The id of the job, once it is acknowledged."""
        number = json.loads(spec.payload)["n"]
        request = self.job_log.DispatchJobRequest(job=spec, request_id=f"{self.run_id}-{number}")
        job = self._until_answered(stub.DispatchJob, request)
        if job:
            self.acked[number] = job.id
            return job.id
        return None

    def _cancel(self, stub, job):
        request = self.job_log.CancelJobRequest(id=job, reason="campaign")
        try:
            stub.CancelJob(request, metadata=self.metadata, timeout=5)
            self.cancels += 1
        except self.grpc.RpcError as error:  # it has ended, or nobody is there: nothing was promised
            if error.code().name not in AWAY + ("FAILED_PRECONDITION",):
                self.unexpected.append(f"CancelJob: {error.code().name} {error.details()}")

    def _until_answered(self, call, request):
        while True:
            try:
                return call(request, metadata=self.metadata, timeout=5)
            except self.grpc.RpcError as error:
                if error.code().name not in AWAY:
                    self.unexpected.append(f"DispatchJob: {error.code().name} {error.details()}")
                    return None
                time.sleep(0.02)
