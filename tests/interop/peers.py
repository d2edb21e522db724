"""What the interop drivers share: starts servers and clients, each in a process of its own, and ends them again."""
import contextlib
import os
import select
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 60  # of one program; a stuck one fails its test instead of ctest's time-out
# The soaks: other tests may run on the same machine.
PATIENCE = ["--soak_per_iteration_max_acceptable_latency_ms=15000", f"--soak_overall_timeout_seconds={LIMIT_S}"]
HOST_OVERRIDE = "foo.test.google.fr"  # a name of the certificate that the gRPC project tests with


def read_table(path, head):
    """[(column, {case: cell})] of the document's table whose first column is called head."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
            for line in open(path, encoding="utf-8")]
    start = next(i for i, row in enumerate(rows) if row and row[0] == head)
    end = next((i for i in range(start, len(rows)) if rows[i] is None), len(rows))
    return [(title, {row[0].strip("`"): row[i] for row in rows[start + 2:end]})
            for i, title in enumerate(rows[start]) if i > 0]


def ruby_dir(part):
    """A folder of Debian's ruby-grpc."""
    found = subprocess.run(["ruby", "-e", "print Gem::Specification.find_by_name('grpc').gem_dir"],
                           capture_output=True, text=True, check=True)
    return os.path.join(found.stdout, "src/ruby", part)


for variable in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ.pop(variable, None)  # gRPC would send even calls to this machine there


def wait_ready(process, name, word):
    """The rest of the line that begins with word."""
    deadline = time.monotonic() + LIMIT_S
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], deadline - time.monotonic())[0]:
            sys.exit(f"{name}: not ready after {LIMIT_S} s")
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            sys.exit(f"{name}: ended before it was ready, with status {process.wait()}")
        line += byte
        if line.endswith(b"\n") and not line.startswith(word.encode()):
            line = b""
    return line.decode().removeprefix(word).strip()


@contextlib.contextmanager
def server(name, command, orderly=True, process_id=False, ready="ready", **how):
    """Runs a server; gives what it says behind ready (its port), or that with its process id. orderly: it must end with status 0 on SIGTERM; else it is simply killed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **how)
    try:
        port = wait_ready(process, name, ready)
        yield (port, process.pid) if process_id else port
        if orderly:
            process.send_signal(signal.SIGTERM)
            status = process.wait(LIMIT_S)
            if status != 0:
                sys.exit(f"{name}: ended with status {status}")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def tls_flags(tls, certs=None):
    flags = [f"--use_tls={'true' if tls else 'false'}"]
    return flags + [f"--certs={certs}"] if certs else flags


def crpc_server(programs, tls=False, address=None, process_id=False):
    command = [os.path.join(programs, "interop_server"), *tls_flags(tls, tls and ruby_dir("spec/testdata"))]
    if address:
        command.append(f"--address={address}")
    return server("interop_server", command, process_id=process_id)


def ruby_server(tls):
    return server("ruby_server", ["ruby", os.path.join(HERE, "ruby_server.rb"), *tls_flags(tls)], orderly=False)


def need_packages(path):
    """Ends the test, which has failed, with a word on what to do when npm's packages are not there."""
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: ./dev test puts the npm packages there; when they are elsewhere, tell CMake with "
                 "-DINTEROP_TOOLS=DIRECTORY, in which node_modules is")


def node_server(tls, tools, protos):
    need_packages(os.path.join(tools, "node_modules"))
    return server("node_server", ["node", os.path.join(HERE, "node_server.js"), tools, protos,
                                  *tls_flags(tls, tls and ruby_dir("spec/testdata"))])


def run_client(command):
    """Its words, line by line, with what it said of errors; and its exit status."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return [f"no end after {LIMIT_S} s"], -1
    return done.stdout.splitlines(), done.returncode


def crpc_client(programs, where, cases, tls):
    """Runs each case; gives {case: (outcome, why)}; an outcome is pass, fail or absent."""
    certs = tls and ruby_dir("spec/testdata")
    outcomes = {}
    for case in cases:
        lines, status = run_client([os.path.join(programs, "interop_client"), f"--test_case={case}", *where,
                                    *tls_flags(tls, certs), "--use_test_ca=true", *PATIENCE,
                                    f"--server_host_override={HOST_OVERRIDE}"])
        passed = status == 0 and f"pass {case}" in lines
        outcomes[case] = ("pass" if passed else "absent" if status == 3 else "fail", "; ".join(lines))
    return outcomes


def ruby_client(where, cases, tls):
    """The same with Ruby's client, in one process."""
    lines, _ = run_client(["ruby", os.path.join(HERE, "ruby_client.rb"), f"--test_case={','.join(cases)}", *where,
                           *tls_flags(tls), "--use_test_ca=true", f"--server_host_override={HOST_OVERRIDE}"])
    outcomes = {case: ("fail", "the client said nothing of it: " + "; ".join(lines[-3:])) for case in cases}
    for line in lines:
        outcome, _, rest = line.partition(" ")
        case, _, why = rest.partition(" ")
        if case in outcomes and outcome in ("pass", "fail", "absent"):
            outcomes[case] = (outcome, why)
    return outcomes
