#!/usr/bin/python3
"""test_cli_worker.py BIN: what `joblog worker` says and does beside running commands: signals, operators, jobs that are taken
from it, a server that is away. The ends of its commands are in tests/unit/test_cli_exec.c, the rest in test_cli.sh."""
import atexit
import json
import os
import signal
import socket
import subprocess
import sys

from export_fixture import Fixture, check

COMMAND = """
case $JOBLOG_JOB_NAME in
hold) echo begun; for i in $(seq 1200); do [ -e "$GO" ] && break; sleep 0.05; done; sleep 0.5;;
bad) exit 3;;
twice) [ "$JOBLOG_ATTEMPT" -gt 1 ] || echo "::snooze 0.1 no paper"
       echo "::result [$JOBLOG_ATTEMPT, $JOBLOG_UNCOUNTED_ATTEMPTS, $JOBLOG_MAX_ATTEMPTS]";;
hang) sleep 300 & wait;;
esac
"""


class Worker:
    """joblog worker of a queue of its own."""

    def __init__(self, fixture, name, address=None, **more):
        self.fixture, self.name, self.said = fixture, name, []
        self.go = os.path.join(fixture.dir, "go." + name)
        self.process = subprocess.Popen(
            [fixture.bin + "/joblog", "--server", address or fixture.address, "worker", "--queue", name, "--worker", name,
             "--exec", COMMAND], env=dict(fixture.env, GO=self.go), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        atexit.register(self.process.kill)
        if not address:
            self.until("worker ready")

    def until(self, words):
        """Reads what it says, up to the line that holds these words."""
        while not self.said or words not in self.said[-1]:
            line = self.process.stderr.readline()
            if not line:
                sys.exit(f"{self.name} never said {words!r}, but {self.said}")
            self.said.append(line)

    def hold(self):
        """A job that runs until `go` is there."""
        job = self.fixture.joblog("dispatch", "hold", "--queue", self.name).stdout.decode().strip()
        check("the command's output", f"[{job} hold] begun\n", self.process.stdout.readline())
        return job

    def let_go(self, job):
        """The job that is held ends, and the worker, which was asked to go, with it."""
        open(self.go, "w", encoding="ascii").close()
        check(f"exit code of {self.name}", 0, self.process.wait(60))
        check("status of its job", "completed", show(self.fixture, job)["status"])
        self.said += self.process.stderr.readlines()

    def stop(self):
        self.process.terminate()
        check(f"exit code of {self.name}", 0, self.process.wait(60))
        self.said += self.process.stderr.readlines()


def show(fixture, job):
    return json.loads(fixture.joblog("show", job, "--json").stdout)


def end(fixture, name, queue, *options):
    """The record of a job that was waited for."""
    done = fixture.joblog("dispatch", name, "--queue", queue, "--wait", "--json", *options)
    return json.loads(done.stdout)


def check_words(fixture):
    """Wrong usage is told in the words of the command line, before the server is asked."""
    for words, options in (("--queue a is there twice", ["-q", "a", "-q", "a=2"]),
                           ("--name a is there twice", ["-n", "a", "-n", "a"]), ("--queue needs a name", ["-q", "=3"]), ("--queue needs a name", ["-q", ""]),
                           ("--name needs a job name", ["-n", ""]), ("--worker needs a name", ["--worker", ""]),
                           ("no --json", ["--json"])):
        done = fixture.joblog("worker", "--exec", "true", *options)
        check(f"exit code with {options}", 2, done.returncode)
        check(f"{options}: {done.stderr}", True, words in done.stderr.decode())


def check_records(fixture):
    worker = Worker(fixture, "records")
    job = end(fixture, "bad", "records")
    check("the error", ("ExitCode", "exit code 3"), (job["error"]["type"], job["error"]["message"]))
    check("its stack", "", job["error"].get("stack_trace", ""))
    check("attempts in the environment", [2, 1, 1], end(fixture, "twice", "records")["result"])
    job = end(fixture, "hang", "records", "--run-timeout", "1s")
    check("the error", "RunTimeout", job["error"]["type"])
    worker.until(f"[{job['id']} hang] attempt 1: taken from this worker")
    worker.stop()


def check_operators(fixture):
    worker = Worker(fixture, "operators")
    fixture.joblog("workers", "pause", "operators")
    worker.until("joblog: paused by an operator")
    fixture.joblog("workers", "resume", "operators")
    worker.until("joblog: no longer paused")
    job = worker.hold()
    table = fixture.joblog("workers", "--name", "operators").stdout.decode()
    check(f"the job's id in {table}", True, job in table.split())
    fixture.joblog("workers", "drain", "operators")
    worker.until("joblog: asked to leave by an operator")
    worker.let_go(job)


def pending(process, number):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        (mask,) = [line.split()[1] for line in file if line.startswith("ShdPnd:")]
    return int(mask, 16) >> number - 1 & 1


def check_hangup(fixture):
    """A terminal that closes, which may be told twice: what runs ends."""
    worker = Worker(fixture, "hangup")
    job = worker.hold()
    worker.process.send_signal(signal.SIGHUP)
    worker.until("finishing what runs")
    worker.process.send_signal(signal.SIGHUP)
    while pending(worker.process, signal.SIGHUP):
        pass
    worker.let_go(job)
    # Under nohup there is none: the first signal is the other.
    worker = Worker(fixture, "nohup", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    job = worker.hold()
    worker.process.send_signal(signal.SIGHUP)
    worker.process.send_signal(signal.SIGTERM)
    worker.until("finishing what runs")
    worker.let_go(job)


def check_away(fixture):
    """A server that is not there is told of once, however often it is tried."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        worker = Worker(fixture, "away", "127.0.0.1:%d" % nobody.getsockname()[1])
        for _ in range(5):
            nobody.accept()[0].close()
        worker.stop()
    lines = [line for line in worker.said if "no connection, trying again" in line]
    check(f"lines about it of {worker.said}", 1, len(lines))


def main():
    with Fixture(sys.argv[1]) as fixture:
        for test in (check_words, check_records, check_operators, check_hangup, check_away):
            test(fixture)
            print(test.__name__, "passed", flush=True)


if __name__ == "__main__":
    main()
