#!/usr/bin/python3
"""stock_python.py PROTOC GRPC_PROTO PORT PID [CA]: Debian's python3-grpcio and python3-protobuf against interop_server.

Messages are made at run time: those of reflection from GRPC_PROTO/grpc/reflection (by PROTOC), all others from what the
server says by reflection, as generic clients do. Ends the server (process PID) by SIGTERM and watches how its health
tells of it.
"""
import os
import signal
import subprocess
import sys
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SIZES = [31415, 9, 2653, 58979]
REFLECTION = "grpc.reflection.{}.ServerReflection"


class Files:
    """Message classes of a set of .proto files."""

    def __init__(self, files):
        self.pool = descriptor_pool.DescriptorPool()
        self.factory = message_factory.MessageFactory(self.pool)
        waiting = list(files)
        while waiting:  # those that others import come first
            known = {f.name for f in waiting}
            ready = [f for f in waiting if not known.intersection(f.dependency)]
            for file in ready:
                self.pool.Add(file)
            waiting = [f for f in waiting if f not in ready]

    def make(self, name, **fields):
        return self.factory.GetPrototype(self.pool.FindMessageTypeByName(name))(**fields)

    def stub(self, channel, path):
        """The callable of "package.Service/Method"."""
        service, method = path.split("/")
        rpc = self.pool.FindServiceByName(service).methods_by_name[method]
        proto = descriptor_pb2.MethodDescriptorProto()
        rpc.CopyToProto(proto)
        kind = ("stream" if proto.client_streaming else "unary") + "_" + ("stream" if proto.server_streaming else "unary")
        answer = self.factory.GetPrototype(rpc.output_type)
        return getattr(channel, kind)("/" + path, request_serializer=lambda m: m.SerializeToString(),
                                      response_deserializer=answer.FromString)


class ReflectionClient:
    def __init__(self, channel, protoc, protos, version):
        out = subprocess.run([protoc, f"-I{protos}", "--descriptor_set_out=/dev/stdout",
                              f"grpc/reflection/{version}/reflection.proto"], stdout=subprocess.PIPE, check=True).stdout
        self.files = Files(descriptor_pb2.FileDescriptorSet.FromString(out).file)
        self.request = f"grpc.reflection.{version}.ServerReflectionRequest"
        self.call = self.files.stub(channel, REFLECTION.format(version) + "/ServerReflectionInfo")

    def ask(self, **question):
        answers = list(self.call(iter([self.files.make(self.request, **question)])))
        assert len(answers) == 1, answers
        return answers[0]

    def services(self):
        return sorted(s.name for s in self.ask(list_services="").list_services_response.service)

    def learn(self, *symbols):
        files = {}
        for symbol in symbols:
            for data in self.ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                files[file.name] = file
        return Files(files.values())


def failure(call, *args, **kwargs):
    """The error of a call that must fail."""
    try:
        answer = call(*args, **kwargs)
        if isinstance(answer, grpc.Call):
            list(answer)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def check_unary(files, channel):
    empty = files.stub(channel, "grpc.testing.TestService/EmptyCall")
    assert empty(files.make("grpc.testing.Empty")).ByteSize() == 0
    unary = files.stub(channel, "grpc.testing.TestService/UnaryCall")
    request = files.make("grpc.testing.SimpleRequest", response_size=314159, payload={"body": bytes(271828)})
    sent = (("x-grpc-test-echo-initial", "there"), ("x-grpc-test-echo-trailing-bin", b"\xab\x00\xab"))
    answer, call = unary.with_call(request, metadata=sent)
    assert answer.payload.body == bytes(314159)
    assert sent[0] in call.initial_metadata() and sent[1] in call.trailing_metadata()
    answer = unary.future(request).result()  # another thread of theirs
    assert len(answer.payload.body) == 314159


def check_errors(files, channel):
    unary = files.stub(channel, "grpc.testing.TestService/UnaryCall")
    status = {"code": 9, "message": "näh\n☺"}
    error = failure(unary, files.make("grpc.testing.SimpleRequest", response_status=status))
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, status["message"]), error
    assert "grpc-status-details-bin" in dict(error.trailing_metadata())
    unknown = files.stub(channel, "grpc.testing.TestService/UnimplementedCall")
    assert failure(unknown, files.make("grpc.testing.Empty")).code() == grpc.StatusCode.UNIMPLEMENTED
    slow = files.stub(channel, "grpc.testing.TestService/StreamingOutputCall")
    never = files.make("grpc.testing.StreamingOutputCallRequest",
                       response_parameters=[{"size": 1, "interval_us": 60000000}])
    assert failure(slow, never, timeout=0.1).code() == grpc.StatusCode.DEADLINE_EXCEEDED


def check_streams(files, channel):
    request = "grpc.testing.StreamingOutputCallRequest"
    each = [files.make(request, response_parameters=[{"size": n}], payload={"body": bytes(27182)}) for n in SIZES]
    down = files.stub(channel, "grpc.testing.TestService/StreamingOutputCall")
    answers = list(down(files.make(request, response_parameters=[{"size": n} for n in SIZES])))
    assert [len(a.payload.body) for a in answers] == SIZES
    up = files.stub(channel, "grpc.testing.TestService/StreamingInputCall")
    total = up(files.make("grpc.testing.StreamingInputCallRequest", payload={"body": bytes(n)}) for n in SIZES)
    assert total.aggregated_payload_size == sum(SIZES)

    chat = files.stub(channel, "grpc.testing.TestService/FullDuplexCall")
    turn = threading.Semaphore(1)  # the next request only after the last answer

    def requests():
        for message in each:
            turn.acquire()
            yield message

    sizes = []
    for answer in chat(requests()):
        sizes.append(len(answer.payload.body))
        turn.release()
    assert sizes == SIZES
    half = files.stub(channel, "grpc.testing.TestService/HalfDuplexCall")
    assert [len(a.payload.body) for a in half(iter(each))] == SIZES

    over = threading.Event()

    def one_and_no_end():
        yield each[0]
        over.wait()

    call = chat(one_and_no_end())
    next(call)
    call.cancel()
    assert failure(lambda: next(call)).code() == grpc.StatusCode.CANCELLED
    over.set()


def check_compression(files, channel):
    unary = files.stub(channel, "grpc.testing.TestService/UnaryCall")
    request = files.make("grpc.testing.SimpleRequest", response_size=314159, payload={"body": bytes(271828)},
                         expect_compressed={"value": True}, response_compressed={"value": True})
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert unary(request, compression=compression).payload.body == bytes(314159)
    assert failure(unary, request).code() == grpc.StatusCode.INVALID_ARGUMENT


def check_health(files, channel, pid):
    check = files.stub(channel, "grpc.health.v1.Health/Check")
    request = "grpc.health.v1.HealthCheckRequest"
    serving, not_serving = 1, 2
    for service in ("", "grpc.testing.TestService"):
        assert check(files.make(request, service=service)).status == serving
    assert failure(check, files.make(request, service="no.such.Service")).code() == grpc.StatusCode.NOT_FOUND
    watch = files.stub(channel, "grpc.health.v1.Health/Watch")(files.make(request))
    assert next(watch).status == serving
    os.kill(pid, signal.SIGTERM)
    assert next(watch).status == not_serving
    assert failure(lambda: next(watch)).code() == grpc.StatusCode.UNAVAILABLE


def main():
    protoc, protos, port, pid, *ca = sys.argv[1:]
    target = f"127.0.0.1:{port}"
    if ca:
        credentials = grpc.ssl_channel_credentials(open(ca[0], "rb").read())
        channel = grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", "foo.test.google.fr")])
    else:
        channel = grpc.insecure_channel(target)
    with channel:
        names = [REFLECTION.format(v) for v in ("v1", "v1alpha")] + ["grpc.health.v1.Health", "grpc.testing.TestService",
                                                                    "xds.service.orca.v3.OpenRcaService"]
        for version in ("v1alpha", "v1"):
            reflection = ReflectionClient(channel, protoc, protos, version)
            assert reflection.services() == sorted(names), reflection.services()
        assert reflection.ask(file_containing_symbol="no.such.Thing").error_response.error_code == 5
        files = reflection.learn("grpc.testing.TestService", "grpc.health.v1.Health")
        check_unary(files, channel)
        check_errors(files, channel)
        check_streams(files, channel)
        check_compression(files, channel)
        check_health(files, channel, int(pid))  # the last, as it ends the server
    print("all passed")


if __name__ == "__main__":
    main()
