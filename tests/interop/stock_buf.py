#!/usr/bin/python3
"""stock_buf.py BUF PORT PID [CA]: `buf curl` against interop_server, with what it learns by reflection.

Each call is a process of its own, and they are slow to start, so over TLS (CA) only one of each kind is made. Ends the
server (process PID) by SIGTERM and watches how its health tells of it.
"""
import base64
import json
import os
import signal
import subprocess
import sys

SIZES = [31415, 9, 2653]


class Buf:
    def __init__(self, buf, port, ca):
        self.url = f"{'https' if ca else 'http'}://127.0.0.1:{port}"
        self.command = [buf, "curl", "--protocol", "grpc"]
        if ca:
            self.command += ["--cacert", ca[0], "--servername", "foo.test.google.fr"]
        else:
            self.command += ["--http2-prior-knowledge"]

    def run(self, *args, data=None):
        return subprocess.run([*self.command, *args], input=data, capture_output=True, text=True, timeout=60)

    def listed(self, flag):
        done = self.run(flag, self.url)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def call(self, method, *requests):
        """The answers as dictionaries."""
        done = self.run("-d", "@-", f"{self.url}/{method}", data="".join(json.dumps(r) for r in requests))
        assert done.returncode == 0, done.stderr
        decoder, text, answers = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            answer, end = decoder.raw_decode(text)
            answers.append(answer)
            text = text[end:].strip()
        return answers

    def watch(self, pid):
        """Health's Watch: the statuses until the server, which gets SIGTERM after the first, ends it; and the error."""
        url = f"{self.url}/grpc.health.v1.Health/Watch"
        statuses, text = [], ""
        with subprocess.Popen([*self.command, "-d", "{}", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as process:
            for line in process.stdout:
                text += line
                if text.strip().endswith("}"):
                    statuses.append(json.loads(text)["status"])
                    text = ""
                    if len(statuses) == 1:
                        os.kill(pid, signal.SIGTERM)
            return statuses, json.loads(process.stderr.read())["code"]

    def error(self, method, request):
        done = self.run("-d", "@-", f"{self.url}/{method}", data=json.dumps(request))
        assert done.returncode != 0, done.stdout
        return json.loads(done.stderr)


def sizes(answers):
    return [len(base64.b64decode(a["payload"]["body"])) for a in answers]


def check_errors(buf, test):
    error = buf.error(test + "UnaryCall", {"responseStatus": {"code": 9, "message": "näh"}})
    assert (error["code"], error["message"]) == ("failed_precondition", "näh"), error
    assert error["details"][0]["type"] == "google.rpc.ErrorInfo", error  # status details arrive, and decode
    assert buf.error(test + "UnimplementedCall", {})["code"] == "unimplemented"
    assert buf.error("grpc.health.v1.Health/Check", {"service": "no.such.Service"})["code"] == "not_found"


def main():
    program, port, pid, *ca = sys.argv[1:]
    buf = Buf(program, port, ca)
    test = "grpc.testing.TestService/"
    assert set(buf.listed("--list-services")) >= {"grpc.testing.TestService", "grpc.health.v1.Health"}
    assert sizes(buf.call(test + "UnaryCall", {"responseSize": 271828})) == [271828]
    parameters = [{"size": n} for n in SIZES]
    assert sizes(buf.call(test + "StreamingOutputCall", {"responseParameters": parameters})) == SIZES
    bodies = [{"payload": {"body": base64.b64encode(bytes(n)).decode()}} for n in SIZES]
    assert buf.call(test + "StreamingInputCall", *bodies) == [{"aggregatedPayloadSize": sum(SIZES)}]
    assert sizes(buf.call(test + "FullDuplexCall", *({"responseParameters": [p]} for p in parameters))) == SIZES
    if not ca:
        assert test + "FullDuplexCall" in buf.listed("--list-methods")
        assert buf.call("grpc.health.v1.Health/Check", {"service": ""}) == [{"status": "SERVING"}]
        check_errors(buf, test)
    assert buf.watch(int(pid)) == (["SERVING", "NOT_SERVING"], "unavailable")
    print("all passed")


if __name__ == "__main__":
    main()
