#!/usr/bin/python3
"""test_python_refused.py TREE: what client/examples/python/worker.py makes of writes that are refused, by a server of the
test's own, which leases one job after another and answers as told. What each code asks for: docs/worker-protocol.md."""
import concurrent.futures
import os
import queue
import shutil
import sys
import tempfile
import threading

TREE = sys.argv[1]
sys.path[:0] = [os.path.join(TREE, "tests", "campaign"), os.path.join(TREE, "client", "examples", "python")]
import cluster  # noqa: E402

for variable in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ.pop(variable, None)
WAIT_S = 60


def check(what, want, have):
    assert want == have, f"{what}: should be {want}, is {have}"


class Server:
    """WorkerService.Work for one worker: what it writes is in `writes`, what is put into `out` goes to it."""

    def __init__(self, grpc, pb, services):
        self.pb, self.writes, self.out = pb, queue.SimpleQueue(), queue.SimpleQueue()
        self.last = 1000
        owner = self

        class Service(services.WorkerServiceServicer):
            def Work(self, request_iterator, context):  # pylint: disable=invalid-name
                threading.Thread(target=owner.read, args=[request_iterator], daemon=True).start()
                welcome = owner.pb.WorkerWelcome(session_id=1)
                welcome.heartbeat_interval.FromMilliseconds(1000)
                yield owner.pb.WorkResponse(welcome=welcome)
                yield from iter(owner.out.get, None)

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        services.add_WorkerServiceServicer_to_server(Service(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def read(self, requests):
        for request in requests:
            for write in request.writes:
                self.writes.put(write)

    def lease(self, name, job_id=0):
        """Gives the worker a job; its id and token."""
        self.last += 1
        lease = self.pb.Lease(lease_token=self.last)
        lease.job.id, lease.job.job_name, lease.job.payload, lease.job.attempt = job_id or self.last, name, "{}", 1
        self.out.put(self.pb.WorkResponse(leases=[lease]))
        return lease.job.id, lease.lease_token

    def end(self, token):
        """The next write that ends the attempt; reports on the way to it are taken."""
        while True:
            write = self.writes.get(timeout=WAIT_S)
            if write.lease_token == token and write.WhichOneof("write") not in ("progress", "log"):
                return write

    def answer(self, write, code=0, message=""):
        result = self.pb.WriteResult(write_id=write.write_id, job_id=write.job_id, accepted=code == 0, code=code,
                                     message=message)
        self.out.put(self.pb.WorkResponse(results=[result]))


def check_again(server):
    """Codes that pass: the very end is sent again, until it is taken."""
    _, token = server.lease("ends")
    write = server.end(token)
    check("kind of the end", "complete", write.WhichOneof("write"))
    for code in (14, 10, 8, 4):
        server.answer(write, code, "not now")
        check(f"what follows code {code}", write, server.end(token))
    server.answer(write)


def check_refused(server):
    """A result that the server does not take: the attempt fails, with the server's words. A fence ends the matter."""
    _, token = server.lease("ends")
    write = server.end(token)
    server.answer(write, 3, "too long")
    write = server.end(token)
    check("what follows", ("fail", "ResultRefused", "too long"),
          (write.WhichOneof("write"), write.fail.error.type, write.fail.error.message))
    server.answer(write, 9, "no lease")
    check("a fenced end comes again", True, server.writes.empty())


def check_fence(server, reports, go_on):
    """A report that is refused stops its own attempt when the lease is gone, and no attempt when it is of no use."""
    job, old = server.lease("reports")
    first = reports.get(timeout=WAIT_S)
    _, new = server.lease("reports", job)  # the old one was lost, and the job is this worker's again
    second = reports.get(timeout=WAIT_S)
    seen = {}
    while len(seen) < 2:
        write = server.writes.get(timeout=WAIT_S)
        if write.WhichOneof("write") == "progress" and write.progress.progress.done:
            seen[write.lease_token] = write
    server.answer(seen[old], 9, "no lease")
    end = server.end(old)
    check("the end of the old one", "Cancelled", end.fail.error.type)
    server.answer(end, 9, "no lease")
    server.answer(seen[new], 3, "a unit that is too long")
    go_on.set()
    end = server.end(new)
    check("the end of the new one", "complete", end.WhichOneof("write"))
    check("of the same job", (job, job), (first, second))
    server.answer(end)


def run(stubs):
    sys.path.insert(0, stubs)
    import grpc
    from joblog.v1 import worker_pb2, worker_pb2_grpc
    import worker as example

    server = Server(grpc, worker_pb2, worker_pb2_grpc)
    worker = example.Worker(f"127.0.0.1:{server.port}", "", ["default"], 3)
    reports, go_on = queue.SimpleQueue(), threading.Event()

    @worker.handler("ends")
    def ends(_job):
        return {"rows": 1}

    @worker.handler("reports")
    def report(job):
        job.progress(1, 2)
        reports.put(job.id)
        while not go_on.is_set():
            job.sleep(0.05)  # until it is stopped

    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        for test in (lambda: check_again(server), lambda: check_refused(server),
                     lambda: check_fence(server, reports, go_on)):
            test()
    finally:
        go_on.set()
        worker.drain()
        server.out.put(None)
        thread.join(5)
        server.server.stop(0).wait()
    check("the worker runs still", False, thread.is_alive())


def main():
    folder = tempfile.mkdtemp(prefix="joblog-refused.")
    try:
        run(cluster.make_stubs(TREE, folder))
    finally:
        shutil.rmtree(folder)
    print("all well")


if __name__ == "__main__":
    main()
