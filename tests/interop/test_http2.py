#!/usr/bin/python3
"""test_http2.py DOCUMENT PROGRAMS: the interop client against http2_server.py, which breaks off, pings, or has conditions.

Runs what the second table of docs/interop.md has: yes must pass; e must end with the error that gRPC core has for it.
"""
import os
import sys

import peers

PADDING = "unsupported data flags"  # footnote e


def main():
    document, programs = sys.argv[1:]
    wrong = count = 0
    (_, cells), = peers.read_table(document, "HTTP/2 case")
    for case, cell in cells.items():
        count += 1
        command = ["/usr/bin/python3", "-B", os.path.join(peers.HERE, "http2_server.py"), case]
        with peers.server(f"http2_server {case}", command) as port:
            where = ["--server_host=127.0.0.1", f"--server_port={port}"]
            outcome, why = peers.crpc_client(programs, where, [case], tls=False)[case]
        if not (outcome == "pass" if cell == "yes" else cell == "e" and outcome == "fail" and PADDING in why):
            wrong += 1
            print(f"{case}: the table says {cell}, but: {outcome} {why}")
    print(f"{count} cases, {wrong} wrong")
    sys.exit(wrong > 0 or count == 0)


if __name__ == "__main__":
    main()
