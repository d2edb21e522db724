#!/usr/bin/python3
"""http2_server.py CASE: the server's half of the gRPC project's negative HTTP/2 cases, on a free port of 127.0.0.1.

Answers each UnaryCall and misbehaves as the case wants. Prints "ready PORT"; on SIGTERM it says what it saw that must
not be, and ends with status 1 if there was anything. One thread a connection; `seen` is shared under `lock`.
"""
import signal
import socket
import struct
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

SMALL, LARGE = 1024, 314159  # bytes of the answers' payloads
lock = threading.Lock()
seen = {"calls": [], "faults": [], "pings": 0, "acks": 0, "most_open": 0}  # calls: number of the connection of each


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def answer(size):
    """A gRPC message: SimpleResponse { payload { body: so many zeros } }."""
    payload = b"\x12" + varint(size) + bytes(size)
    message = b"\x0a" + varint(len(payload)) + payload
    return struct.pack(">BI", 0, len(message)) + message


class Connection:
    def __init__(self, number, sock, case):
        self.number, self.sock, self.case = number, sock, case
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.open = set()
        self.rest = {}  # stream: bytes that wait for the window
        self.waits_for_acks = None  # the stream whose trailers go out with the last of them

    def run(self):
        self.h2.initiate_connection()
        if self.case == "max_streams":
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        self.flush()
        while data := self.sock.recv(65536):
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.open.add(event.stream_id)
            with lock:
                seen["calls"].append(self.number)
                seen["most_open"] = max(seen["most_open"], len(self.open))
            if self.case == "rst_after_header":
                self.headers(event.stream_id)
                self.reset(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self.open:
                self.respond(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.open.discard(event.stream_id)
        elif isinstance(event, h2.events.PingAckReceived):
            self.acked()
        elif isinstance(event, h2.events.WindowUpdated):
            for stream in list(self.rest):
                self.send_padded(stream)

    def headers(self, stream):
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])

    def end(self, stream):
        self.open.discard(stream)
        self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def reset(self, stream):
        self.open.discard(stream)
        self.h2.reset_stream(stream, error_code=0)

    def respond(self, stream):
        getattr(self, "respond_" + self.case, self.respond_well)(stream)

    def respond_well(self, stream):
        self.headers(stream)
        self.h2.send_data(stream, answer(SMALL))
        self.end(stream)

    def respond_goaway(self, stream):
        """The GOAWAY is on the wire before the first answer, so the client has it when it calls again."""
        self.flush()
        self.sock.sendall(GoAwayFrame(0, last_stream_id=stream, error_code=0).serialize())
        self.respond_well(stream)

    def respond_rst_during_data(self, stream):
        data = answer(SMALL)
        self.headers(stream)
        self.h2.send_data(stream, data[:len(data) // 2])
        self.reset(stream)

    def respond_rst_after_data(self, stream):
        self.headers(stream)
        self.h2.send_data(stream, answer(SMALL))
        self.reset(stream)

    def ping(self):
        with lock:
            seen["pings"] += 1
        self.h2.ping(struct.pack(">Q", seen["pings"]))

    def respond_ping(self, stream):
        """Trailers follow when all are acknowledged; without that the client would wait for ever."""
        self.ping()
        self.headers(stream)
        self.ping()
        self.ping()
        self.h2.send_data(stream, answer(SMALL))
        self.ping()
        self.waits_for_acks = stream

    def acked(self):
        with lock:
            seen["acks"] += 1
            all_are = seen["acks"] == seen["pings"]
        if all_are and self.waits_for_acks is not None:
            self.end(self.waits_for_acks)
            self.waits_for_acks = None

    def respond_data_frame_padding(self, stream):
        self.headers(stream)
        self.rest[stream] = answer(LARGE)
        self.send_padded(stream)

    def send_padded(self, stream):
        """Mostly padding: a client that forgets to give it back to the window gets stuck."""
        part, padding = 512, 255
        while self.rest[stream] and self.h2.local_flow_control_window(stream) > part + padding:
            self.h2.send_data(stream, self.rest[stream][:part], pad_length=padding)
            self.rest[stream] = self.rest[stream][part:]
        if not self.rest[stream]:
            del self.rest[stream]
            self.end(stream)


def serve(number, sock, case):
    try:
        Connection(number, sock, case).run()
    except ConnectionError:
        pass  # the client is free to go without a word
    except h2.exceptions.ProtocolError as error:  # TooManyStreamsError is one
        with lock:
            seen["faults"].append(f"connection {number}: {type(error).__name__} {error}")
    finally:
        sock.close()


def check(case):
    calls, faults = seen["calls"], seen["faults"]
    want = {"goaway": [1, 2], "max_streams": [1] * 11}.get(case, [1])
    if calls != want:
        faults.append(f"calls came on connections {calls}, not {want}")
    if case == "ping" and (seen["pings"] != 4 or seen["acks"] != 4):
        faults.append(f"{seen['acks']} of {seen['pings']} pings were acknowledged")
    if case == "max_streams" and seen["most_open"] != 1:
        faults.append(f"{seen['most_open']} streams at a time")
    return faults


def main():
    case = sys.argv[1]

    def end(*_):
        with lock:
            faults = check(case)
        for fault in faults:
            print(f"http2_server: {case}: {fault}", file=sys.stderr)
        sys.exit(bool(faults))

    listener = socket.create_server(("127.0.0.1", 0))
    signal.signal(signal.SIGTERM, end)
    print("ready", listener.getsockname()[1], flush=True)
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(number, sock, case), daemon=True).start()


if __name__ == "__main__":
    main()
