#!/usr/bin/python3
"""test_stock.py PROGRAMS COMMAND...: a stock client against interop_server, over plaintext and over TLS.

COMMAND gets the server's port and process id, and for TLS the file of the authority besides; it does all the checks, and
ends the server.
"""
import os
import sys

import peers


def main():
    programs, *command = sys.argv[1:]
    for part in filter(os.path.isabs, command):
        peers.need_packages(part)
    for tls in (False, True):
        ca = [os.path.join(peers.ruby_dir("spec/testdata"), "ca.pem")] if tls else []
        with peers.crpc_server(programs, tls, process_id=True) as (port, pid):
            lines, status = peers.run_client([*command, port, str(pid), *ca])
        if status != 0:
            print("\n".join(lines))
            sys.exit(f"over {'TLS' if tls else 'plaintext'}: status {status}")


if __name__ == "__main__":
    main()
