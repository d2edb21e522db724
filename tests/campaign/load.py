"""Who asks for work: threads that dispatch jobs until they are acknowledged, one by one or many a message, cancel some, and
retry some that failed or were cancelled. Each call is repeated with the same request id for as long as the server is away, as
callers do."""
import collections
import json
import random
import threading
import time

AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "UNKNOWN")
# What jobs do, and how often; how often they may be tried.
KINDS = [("complete", 70), ("fail_first", 10), ("fail", 4), ("release", 8), ("snooze", 8)]
ATTEMPTS = [1, 2, 3, 5, 20]
BULK_MAX = 40  # jobs a message
RETRIED_ONE_IN = 6
PENDING, RUNNING, COMPLETED = 1, 2, 3


class Load:
    def __init__(self, modules, addresses, token, seed, run_id):
        self.grpc, self.job, self.job_log, self.stub_of = modules
        self.addresses, self.run_id = addresses, run_id
        self.metadata = [("authorization", "Bearer " + token)]
        self.seed = seed
        self.acked, self.cancels, self.unexpected = {}, 0, []  # number of the job: id
        self.bulk = 0  # of them by DispatchJobs
        self.retried = {}  # request id of a RetryJob that was acknowledged: job
        self.to_retry = collections.deque()  # jobs that are retried if they fail or are cancelled
        self.lock = threading.Lock()
        self.next_number = 0
        self.stopping = threading.Event()
        self.threads = []
        self.away = {}  # thread: the last answer for which it asked again

    def start(self, threads, per_second):
        """A quarter of the threads dispatches many a message; one more retries."""
        bulk = threads // 4
        for n in range(threads):
            target = self._dispatch_many if n < bulk else self._dispatch_all
            self._thread(target, n, threads / per_second)
        self._thread(self._retry_all, threads)

    def _thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _channel(self, n):
        """Without gRPC's own retries, which leave a stream hanging now and then, whatever its deadline, and back soon after a fault
        (docs/interop.md)."""
        options = [("grpc.min_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 200), ("grpc.enable_retries", 0)]
        return self.grpc.insecure_channel(self.addresses[n % len(self.addresses)], options)

    def stop(self, limit_s):
        """Waits until whatever was begun has been acknowledged."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(limit_s)
            assert not thread.is_alive(), f"a call was not answered for good; last: {self.away.get(thread)}"

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

    def random_spec(self, rng):
        (how,) = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])
        ms = int(min(3000, rng.expovariate(1 / 60)))
        return self.spec(how, ms, rng.choice(ATTEMPTS), rng.choice(["a", "b"]), self.number())

    def _dispatch_all(self, n, every_s):
        rng = random.Random(f"{self.seed} load {n}")
        with self._channel(n) as channel:
            stub = self.stub_of(channel)
            next_s = time.monotonic()
            while not self.stopping.is_set():
                job = self.dispatch(stub, self.random_spec(rng))
                if job and rng.random() < 0.04:
                    self._cancel(stub, job)
                if job and rng.randrange(RETRIED_ONE_IN) == 0:
                    self.to_retry.append(job)
                next_s = max(next_s + every_s, time.monotonic() - 1)
                self.stopping.wait(max(0.0, next_s - time.monotonic()))

    # ---- many a message ----

    def _dispatch_many(self, n, every_s):
        rng = random.Random(f"{self.seed} load {n}")
        with self._channel(n) as channel:
            stub = self.stub_of(channel)
            next_s = time.monotonic()
            while not self.stopping.is_set():
                specs = [self.random_spec(rng) for _ in range(rng.randint(1, BULK_MAX))]
                self.dispatch_many(stub, specs)
                next_s = max(next_s + len(specs) * every_s, time.monotonic() - 1)
                self.stopping.wait(max(0.0, next_s - time.monotonic()))

    def dispatch_many(self, stub, specs):
        """Until each is acknowledged or refused: what has no answer, or a passing one, is sent again by a new stream."""
        left = [self._request(spec) for spec in specs]
        while left:
            half = max(1, len(left) // 2)  # two messages under way at once
            messages = [self.job_log.DispatchJobsRequest(jobs=left[at:at + half]) for at in range(0, len(left), half)]
            answers = []
            try:
                for response in stub.DispatchJobs(iter(messages), metadata=self.metadata, timeout=5):
                    answers += response.outcomes
            except self.grpc.RpcError as error:
                if error.code().name not in AWAY:
                    self.unexpected.append(f"DispatchJobs: {error.code().name} {error.details()}")
                    return
                self.away[threading.current_thread()] = f"DispatchJobs: {error.code().name} {error.details()}"
                time.sleep(0.02)
            if len(answers) > len(left):
                self.unexpected.append(f"DispatchJobs: {len(answers)} outcomes for {len(left)} jobs")
            left = self._without_answered(left, answers)

    def _without_answered(self, requests, answers):
        left = requests[len(answers):]
        names = {code.value[0]: code.name for code in self.grpc.StatusCode}
        for request, outcome in zip(requests, answers):
            if outcome.code == 0:
                self.acked[json.loads(request.job.payload)["n"]] = outcome.id
                self.bulk += 1
            elif names[outcome.code] in AWAY:
                self.away[threading.current_thread()] = f"outcome: {names[outcome.code]} {outcome.message}"
                left.append(request)
            else:
                self.unexpected.append(f"DispatchJobs: {names[outcome.code]} {outcome.message}")
        return left

    # ---- again ----

    def _retry_all(self, n):
        with self._channel(n) as channel:
            stub = self.stub_of(channel)
            while not self.stopping.is_set():
                self.stopping.wait(0.02)
                if self.to_retry:
                    self._retry(stub, self.to_retry.popleft())

    def _retry(self, stub, job):
        found = self._until_answered("GetJob", stub.GetJob, self.job_log.GetJobRequest(id=job))
        if not found or found.status == COMPLETED:
            return
        if found.status in (PENDING, RUNNING):
            self.to_retry.append(job)  # later
            return
        request_id = f"{self.run_id}-retry-{self.number()}"
        request = self.job_log.RetryJobRequest(id=job, reason="campaign", request_id=request_id)
        if self._until_answered("RetryJob", stub.RetryJob, request):
            self.retried[request_id] = job
            self.to_retry.append(job)  # and again, if it fails again

    def dispatch(self, stub, spec):
        """The id of the job, once it is acknowledged."""
        number = json.loads(spec.payload)["n"]
        job = self._until_answered("DispatchJob", stub.DispatchJob, self._request(spec))
        if job:
            self.acked[number] = job.id
            return job.id
        return None

    def _request(self, spec):
        number = json.loads(spec.payload)["n"]
        return self.job_log.DispatchJobRequest(job=spec, request_id=f"{self.run_id}-{number}")

    def _cancel(self, stub, job):
        request = self.job_log.CancelJobRequest(id=job, reason="campaign")
        try:
            stub.CancelJob(request, metadata=self.metadata, timeout=5)
            self.cancels += 1
        except self.grpc.RpcError as error:  # it has ended, or nobody is there: nothing was promised
            if error.code().name not in AWAY + ("FAILED_PRECONDITION",):
                self.unexpected.append(f"CancelJob: {error.code().name} {error.details()}")

    def _until_answered(self, name, call, request):
        while True:
            try:
                return call(request, metadata=self.metadata, timeout=5)
            except self.grpc.RpcError as error:
                if error.code().name not in AWAY:
                    self.unexpected.append(f"{name}: {error.code().name} {error.details()}")
                    return None
                self.away[threading.current_thread()] = f"{name}: {error.code().name} {error.details()}"
                time.sleep(0.02)
