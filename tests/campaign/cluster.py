"""A PostgreSQL cluster of the campaign's own, replicas of joblogd on it, and worker processes: started, killed, frozen."""
import glob
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import time

LIMIT_S = 60  # for whatever must come up or end
WITH_PARENT = ["setpriv", "--pdeathsig", "QUIT"]  # nobody is left behind when the campaign is killed


def pg_bin():
    """Debian has the server's programs in no folder of PATH."""
    for path in ["/usr/lib/postgresql/15/bin", *os.environ.get("PATH", "").split(":")]:
        if os.path.exists(os.path.join(path, "initdb")):
            return os.path.dirname(os.path.realpath(os.path.join(path, "initdb")))
    sys.exit("PostgreSQL's initdb is not installed")


class Cluster:
    """PostgreSQL on a unix socket. fsync is off: what is killed here are processes, not the machine."""

    def __init__(self, folder):
        self.dir, self.bin = os.path.join(folder, "pg"), pg_bin()
        self.uri = f"postgresql://joblog@/joblog?host={self.dir}"
        os.mkdir(self.dir, 0o700)
        self.as_user = []
        if os.geteuid() == 0:  # PostgreSQL refuses root
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.as_user = ["setpriv", "--pdeathsig", "QUIT", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                            "--clear-groups"]
        self.run("initdb", "-U", "joblog", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D", self.dir + "/data")
        with open(self.dir + "/data/postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.dir}'\nfsync = off\n"
                       "max_connections = 100\nlog_min_messages = fatal\n")
        self.start()
        self.run("createdb", "-h", self.dir, "-U", "joblog", "joblog")

    def run(self, program, *args):
        done = subprocess.run([*self.as_user, os.path.join(self.bin, program), *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", check=False)
        if done.returncode != 0:
            sys.exit(f"{program}: {done.stdout}")

    def start(self):
        with open(self.dir + ".log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*(self.as_user or WITH_PARENT), os.path.join(self.bin, "postgres"), "-D",
                                             self.dir + "/data"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.await_answers()

    def await_answers(self):
        await_true("PostgreSQL is up", self.answers, LIMIT_S)

    def answers(self):
        return subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", self.dir], check=False).returncode == 0

    def stop(self, how=signal.SIGINT):
        """SIGINT: transactions are rolled back, a checkpoint follows. SIGQUIT: as after a crash."""
        self.process.send_signal(how)
        self.process.wait(LIMIT_S)

    def sql(self, text):
        """Rows of the last statement, each a list of texts."""
        done = subprocess.run([os.path.join(self.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v",
                               "ON_ERROR_STOP=1", "-d", self.uri, "-c", text], stdout=subprocess.PIPE, check=True, text=True)
        return [row.split("\x1f") for row in done.stdout.rstrip("\n").split("\x1e") if row]

    def kill_backend(self):
        """As when the out-of-memory killer takes one: PostgreSQL ends all others and recovers by itself."""
        rows = self.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                        " ORDER BY random()")
        for (pid,) in rows:
            try:
                os.kill(int(pid), signal.SIGKILL)
                return
            except ProcessLookupError:  # it has ended meanwhile, as those of an export do
                pass


class Process:
    """A program that is started again and again."""

    def __init__(self, name, command, log, **how):
        self.name, self.command, self.log, self.how = name, command, log, how
        self.process = None

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*WITH_PARENT, *self.command], stdin=subprocess.DEVNULL, stderr=log, **self.how)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, limit_s=LIMIT_S):
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return "not ended by SIGTERM"

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])


class Replica(Process):
    def __init__(self, programs, cluster, folder, number, lease_ms):
        self.token_file = os.path.join(folder, "token")
        self.address = "127.0.0.1:0"
        self.arguments = ["--database", cluster.uri, "--admin-token-file", self.token_file, f"--lease-timeout-ms={lease_ms}",
                          "--shutdown-grace-ms=2000", "--max-wait-ms=0"]
        super().__init__(f"joblogd-{number}", None, os.path.join(folder, f"joblogd-{number}.log"), stdout=subprocess.PIPE,
                         text=True, env={**os.environ, "HOME": folder, "XDG_STATE_HOME": folder})
        self.program = os.path.join(programs, "joblogd")

    def start(self):
        self.command = [self.program, "--listen", self.address, *self.arguments]
        super().start()
        ready = select.select([self.process.stdout], [], [], LIMIT_S)[0]
        found = re.search(r"listen=([^ ,]+)", self.process.stdout.readline()) if ready else None
        if not found:
            sys.exit(f"{self.name} did not start: {self.tail()}")
        self.address = found.group(1)


def make_stubs(tree, folder):
    """Python's stubs of the contract; gives the folder that they are in."""
    out = os.path.join(folder, "stubs")
    os.mkdir(out)
    protos = os.path.join(tree, "proto")
    files = sorted(glob.glob(f"{protos}/joblog/v1/*.proto"))
    plugin = shutil.which("grpc_python_plugin")
    if not plugin:
        sys.exit("grpc_python_plugin is not installed (Debian's package protobuf-compiler-grpc)")
    subprocess.run(["protoc", "-I", protos, f"--python_out={out}", f"--grpc_out={out}", f"--plugin=protoc-gen-grpc={plugin}",
                    *files], check=True)
    return out


def await_true(what, condition, limit_s):
    """Looks until it is so; for what nobody tells of by an event."""
    until = time.monotonic() + limit_s
    while not (answer := condition()):
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.05)
    return answer
