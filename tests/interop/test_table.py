#!/usr/bin/python3
"""test_table.py DOCUMENT PROGRAMS TOOLS PROTOS CLIENT SERVER TRANSPORT: holds the table of docs/interop.md against what really happens.

Runs the cases of the column "CLIENT to SERVER, TRANSPORT": where the table says yes, the case must pass; where it has
a letter, the case must not (a letter of ABSENT: because the client has no such case). Where it says -, nothing is run.
"""
import sys
import tempfile

import peers

ABSENT = {"a"}  # the footnote that says that the client has no such case


def start_server(programs, tools, protos, server, tls, address):
    if server == "crpc":
        return peers.crpc_server(programs, tls, address)
    return peers.node_server(tls, tools, protos) if server == "node" else peers.ruby_server(tls)


def run_column(programs, tools, protos, client, server, transport, cases):
    tls = transport == "TLS"
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/s" if transport == "unix socket" else None
        with start_server(programs, tools, protos, server, tls, address) as port:
            where = [f"--target={address}"] if address else ["--server_host=127.0.0.1", f"--server_port={port}"]
            if client == "crpc":
                return peers.crpc_client(programs, where, cases, tls)
            return peers.ruby_client(where, cases, tls)


def main():
    document, programs, tools, protos, client, server, transport = sys.argv[1:]
    column = f"{client} to {server}, {transport}"
    cells = dict(peers.read_table(document, "Case"))[column]
    cases = [case for case, cell in cells.items() if cell != "-"]
    outcomes = run_column(programs, tools, protos, client, server, transport, cases)
    wrong = 0
    for case, (outcome, why) in outcomes.items():
        cell = cells[case]
        fits = outcome == "pass" if cell == "yes" else outcome == "absent" if cell in ABSENT else outcome == "fail"
        if not fits:
            wrong += 1
            print(f"{column}: {case}: the table says {cell}, but: {outcome} {why}")
    print(f"{len(outcomes)} cells, {wrong} wrong")
    sys.exit(wrong > 0 or not outcomes)


if __name__ == "__main__":
    main()
