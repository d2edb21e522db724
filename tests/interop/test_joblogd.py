#!/usr/bin/python3
"""test_joblogd.py PROGRAMS BUF PROTOC GRPC_PROTO: stock clients against joblogd, which they know by reflection alone.

Python's gRPC dispatches a job, is the worker that runs it, and watches it; `buf curl` looks at it. The server has its
PostgreSQL and its administrator's token in a temporary directory.
"""
import json
import os
import queue
import subprocess
import sys
import tempfile

import grpc

import peers
import stock_python

OWN = {"joblog.v1.JobLogService", "joblog.v1.WorkerService", "joblog.v1.ExportService"}
SERVICES = OWN | {"grpc.health.v1.Health"}
PENDING, COMPLETED = 1, 3  # of joblog.v1.JobStatus
FULL = 2  # of joblog.v1.JobView


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor,
             grpc.StreamStreamClientInterceptor):
    """Sends a token with every call."""

    def __init__(self, token):
        self.entry = ("authorization", "Bearer " + token)

    def intercept(self, go_on, details, request):
        details = details._replace(metadata=[*(details.metadata or ()), self.entry])
        return go_on(details, request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = intercept


def work(files, channel):
    """Runs one job as a worker: takes its lease, reports, completes it; gives its id."""
    stub = files.stub(channel, "joblog.v1.WorkerService/Work")
    to_server = queue.SimpleQueue()
    answers = stub(iter(to_server.get, None))
    to_server.put(files.make("joblog.v1.WorkRequest", hello={"name": "python", "job_names": ["interop"]}, add_credit=1))
    assert next(answers).HasField("welcome")
    lease = next(answer for answer in answers if answer.leases).leases[0]
    write = {"job_id": lease.job.id, "lease_token": lease.lease_token}
    steps = [{"write_id": 1, "progress": {"progress": {"done": 1, "total": 2}}, **write},
             {"write_id": 2, "complete": {"result": '{"answer": 42}'}, **write}]
    for step in steps:
        to_server.put(files.make("joblog.v1.WorkRequest", writes=[step]))
        result = next(answer for answer in answers if answer.results).results[0]
        assert result.accepted and result.write_id == step["write_id"], result
    to_server.put(files.make("joblog.v1.WorkRequest", draining=True))
    assert not list(answers)  # the server ends the stream well
    to_server.put(None)
    return lease.job.id


def check_python(channel, token, protoc, protos):
    known = grpc.intercept_channel(channel, Bearer(token))
    reflection = stock_python.ReflectionClient(known, protoc, protos, "v1")
    assert set(reflection.services()) >= SERVICES, reflection.services()
    files = reflection.learn(*SERVICES)
    check = files.stub(channel, "grpc.health.v1.Health/Check")  # for everyone
    for service in OWN | {""}:
        assert check(files.make("grpc.health.v1.HealthCheckRequest", service=service)).status == 1

    request = files.make("joblog.v1.DispatchJobRequest", job={"job_name": "interop", "payload": '{"question": 1}'})
    dispatch = "joblog.v1.JobLogService/DispatchJob"
    error = stock_python.failure(files.stub(channel, dispatch), request)
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    job = files.stub(known, dispatch)(request)
    assert job.status == PENDING
    watch = files.stub(known, "joblog.v1.JobLogService/WatchJob")(
        files.make("joblog.v1.WatchJobRequest", id=job.id, view=FULL))
    assert next(watch).job.id == job.id
    assert work(files, known) == job.id
    last = [answer.job for answer in watch][-1]  # the watch ends with the job
    assert (last.status, json.loads(last.result)) == (COMPLETED, {"answer": 42}), last
    return job.id


def check_buf(buf, address, token, job):
    """Reads the job that Python ran."""
    def run(*args):
        done = subprocess.run([buf, "curl", "--http2-prior-knowledge", "--protocol", "grpc", *args], text=True,
                              capture_output=True, timeout=peers.LIMIT_S)
        return done.returncode, done.stdout, done.stderr

    bearer = ["-H", f"Authorization: Bearer {token}", "--reflect-header", f"Authorization: Bearer {token}"]
    status, out, err = run(*bearer, "--list-services", f"http://{address}")
    assert status == 0 and set(out.split()) >= SERVICES, err
    method = f"http://{address}/joblog.v1.JobLogService/"
    status, out, err = run(*bearer, "-d", json.dumps({"id": job}), method + "GetJob")
    assert status == 0 and json.loads(out)["status"] == "JOB_STATUS_COMPLETED", err
    status, out, err = run(*bearer, "-d", json.dumps({"id": job + 1}), method + "GetJob")
    error = json.loads(err)
    assert status != 0 and error["code"] == "not_found" and error["details"][0]["type"] == "google.rpc.ErrorInfo", err
    status, out, err = run("--list-services", f"http://{address}")
    assert status != 0 and "not authenticated" in err, err


def main():
    programs, buf, protoc, protos = sys.argv[1:]
    peers.need_packages(buf)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the database has a user of its own when we are root
        token_file = os.path.join(folder, "token")
        command = [os.path.join(programs, "joblogd"), "--embedded", os.path.join(folder, "data"), "--listen",
                   "127.0.0.1:0", "--admin-token-file", token_file, "--log-level", "warning"]
        with peers.server("joblogd", command, ready="joblogd ready", env={**os.environ, "XDG_STATE_HOME": folder}) as line:
            address = dict(word.split("=", 1) for word in line.split())["listen"]
            token = open(token_file, encoding="ascii").read().strip()
            with grpc.insecure_channel(address) as channel:
                job = check_python(channel, token, protoc, protos)
            check_buf(buf, address, token, job)
    print("all passed")


if __name__ == "__main__":
    main()
