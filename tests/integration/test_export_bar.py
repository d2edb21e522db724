#!/usr/bin/python3
"""What a terminal shows of a download while its export still waits and runs: a bar, a rate, the time left; and how that ends.
test_export_bar.py DIRECTORY-OF-PROGRAMS"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from cut_proxy import CutProxy
from export_fixture import SLOW_FILE, begin, check, gated, has, has_begun, until


class Terminal:
    """joblog with a terminal of 120 columns for its standard error."""

    def __init__(self, fx, *args, server=None):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.process = subprocess.Popen([fx.bin + "/joblog", "--server", server or fx.address, *args],
                                        stdout=subprocess.PIPE, stderr=theirs, env=dict(fx.env, TERM="xterm", NO_COLOR="1"))
        os.close(theirs)
        self.text = ""

    def read(self, seconds=60):
        """What comes next; False at the end."""
        if not select.select([self.ours], [], [], seconds)[0]:
            sys.exit("the terminal is silent after\n" + self.text[-2000:])
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # all that had it open have ended
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def until(self, pattern):
        """The first match in all that was shown since the last one."""
        end = time.monotonic() + 60
        while not (found := re.search(pattern, self.text)):
            if not self.read() or time.monotonic() > end:
                sys.exit("the terminal never shows %r\n%s" % (pattern, self.text[-2000:]))
        self.text = self.text[found.end():]
        return found

    def end(self):
        """Exit code, and what was shown until then. However it ends, lines wrap again and the next one begins a line."""
        while self.read():
            pass
        os.close(self.ours)
        self.process.stdout.close()
        return self.process.wait(), self.text


BYTES = r"[█░]{24} +(\d+) %  [\d.]+ [KM]iB"


def a_whole_line(text):
    check("wrapping", True, text.rfind("\033[?7h") > text.rfind("\033[?7l"))
    check("the end of the line", "\n", text[-1:])


def the_queue_the_bar_the_end(fx):
    """All workers have something to do first."""
    fx.gate.shut()
    before = [begin(fx, "slow") for _ in range(4)]
    path = fx.dir + "/bar"
    terminal = Terminal(fx, "export", "start", "slow", "--output", path)
    terminal.until(r"bar waiting in the queue\033\[K")
    for export in before[1:]:  # the first stays
        check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    percent = int(terminal.until(BYTES).group(1))
    check("percent in the middle: %d" % percent, True, 0 < percent < 100)
    terminal.until(BYTES + r"(  [\d.]+ [KM]iB/s)?  [\dmhs]+ left\033\[K")
    fx.gate.open()
    code, text = terminal.end()
    check("exit", 0, code)
    a_whole_line(text)
    has("the last bar", "█" * 24 + " 100 %  1.4 MiB", text)
    has("its time", " in ", text[text.rfind("100 %"):])
    check("the file", SLOW_FILE, open(path, "rb").read())


def a_finished_one_that_is_still_fetched(fx):
    """The bar is that of the bytes once their number is known: the pipe is read when that shows."""
    terminal = Terminal(fx, "export", "start", "big", "--output", "-", "--follow")
    terminal.until(BYTES + r"  (0 B/s|[\d.]+ [KM]?i?B/s  [\d.]+m?s left)\033\[K")
    until("it has completed", lambda: fx.sql("SELECT count(*) FROM joblog.job_history WHERE status = 'completed'"
                                             " AND payload::jsonb @> '{\"export_type\": \"big\"}';").strip() == "1")
    data = terminal.process.stdout.read()
    code, text = terminal.end()
    check("exit", 0, code)
    check("rows", 100001, data.count(b"\r\n"))
    a_whole_line(text)


def standard_output_without_follow(fx):
    """The file comes at the end, and what is waited for is told until then."""
    fx.gate.shut()
    terminal = Terminal(fx, "export", "start", "slow", "--output", "-")
    terminal.until(r"joblog\.export +[█░]+ +[1-9]\d* % ")
    fx.gate.open()
    check("the file", SLOW_FILE, terminal.process.stdout.read())
    code, text = terminal.end()
    check("exit", 0, code)
    a_whole_line(text)


def a_reader_that_goes_away(fx):
    """As `| head -1`: the program ends as any does then, and the bar is gone."""
    terminal = Terminal(fx, "export", "start", "big", "--output", "-", "--follow")
    check("the titles", b"id,x", terminal.process.stdout.read(4))
    terminal.process.stdout.close()
    code, text = terminal.end()
    check("exit", -signal.SIGPIPE, code)
    check("the end: %r" % text[-100:], True, text.endswith("\r\033[K"))


def an_interrupt(fx):
    """Twice: what the first has left is no part of the rate of the second, which begins anew."""
    fx.gate.shut()
    path = fx.dir + "/interrupted"
    for _ in range(2):
        terminal = Terminal(fx, "export", "start", "slow", "--output", path)
        terminal.until(BYTES)
        terminal.process.send_signal(signal.SIGINT)
        code, text = terminal.end()
        check("exit of an interrupt", 130, code)
        check("the end of the line", "\n", text[-1:])
        export = fx.joblog("export", "list", "--limit", "1", "--json").stdout
        has("what becomes of it", "\r\nexport %d goes on: joblog export download %d --follow --output %s\r\n" % (
            (json.loads(export)["job"]["id"],) * 2 + (path,)), text)
        check("what is there stays", True, os.path.getsize(path + ".part") > 0)
    fx.gate.open()


def an_interrupt_of_a_file_that_is_there(fx):
    export = begin(fx, "big", "--watch")
    path = fx.dir + "/kept"
    proxy = CutProxy(fx.address, cuts=[50000], quiet=True)
    terminal = Terminal(fx, "export", "download", export, "--output", path, server=proxy.address)
    terminal.until(r"kept [█░]+ ")
    terminal.process.send_signal(signal.SIGINT)
    code, text = terminal.end()
    check("exit of an interrupt", 130, code)
    has("how it goes on", "\r\njoblog export download %s --output %s goes on from here\r\n" % (export, path), text)
    proxy.flows.set()
    proxy.end()


def an_interrupt_before_the_first_byte(fx):
    """Nothing is left, and it is said how to go on, on a terminal or not; also by SIGTERM."""
    fx.gate.shut()
    before = [begin(fx, "slow") for _ in range(4)]
    export = begin(fx, "slow")
    path = fx.dir + "/nothing"
    args = ["export", "download", export, "--follow", "--output", path]
    for number in (signal.SIGINT, signal.SIGTERM):
        down = fx.popen(*args)
        until("its part is there", lambda: os.path.exists(path + ".part"))
        down.send_signal(number)
        err = down.communicate()[1].decode()
        check("exit of an interrupt", 130, down.returncode)
        check("what is left", False, os.path.exists(path + ".part"))
        check("how to go on", "export %s goes on: joblog export download %s --follow --output %s\n" % (export, export, path), err)
    terminal = Terminal(fx, *args)
    terminal.until(r"waiting in the queue")
    until("its part is there", lambda: os.path.exists(path + ".part"))
    terminal.process.send_signal(signal.SIGINT)
    code, text = terminal.end()
    check("exit of an interrupt", 130, code)
    check("what is left", False, os.path.exists(path + ".part"))
    has("how to go on", "export %s goes on: " % export, text)
    for each in [*before, export]:
        check("cancel", 0, fx.joblog("export", "cancel", each).returncode)
    fx.gate.open()


def an_export_that_is_cancelled(fx):
    fx.gate.shut()
    export = begin(fx, "slow")
    terminal = Terminal(fx, "export", "download", export, "--follow", "--output", fx.dir + "/cancelled")
    terminal.until(BYTES)
    check("cancel", 0, fx.joblog("export", "cancel", export).returncode)
    code, text = terminal.end()
    check("exit", 1, code)
    has("why", "\r\033[Kjoblog: export %s is cancelled" % export, text)
    fx.gate.open()


def a_place_that_is_taken(fx):
    """The download fails while the export is watched."""
    fx.gate.shut()
    export = begin(fx, "slow")
    path = fx.dir + "/taken"
    first = fx.popen("export", "download", export, "--follow", "--output", path)
    until("the file has begun", has_begun(path))
    code, text = Terminal(fx, "export", "download", export, "--follow", "--output", path).end()
    check("exit of the second", 5, code)
    has("its words", "another download writes", text)
    fx.gate.open()
    first.communicate()
    check("exit of the first", 0, first.returncode)


def a_server_that_starts_again(fx):
    """The attempt is begun again, and so is the bar."""
    fx.gate.shut()
    path = fx.dir + "/again"
    terminal = Terminal(fx, "--timeout", "60s", "export", "start", "slow", "--output", path)
    terminal.until(BYTES)
    fx.server.kill()
    fx.server.wait()
    fx.gate.end()
    fx.start("--export-owner-running=0", "--export-workers=4")
    fx.gate = type(fx.gate)(fx)
    code, text = terminal.end()
    check("exit", 0, code)
    a_whole_line(text)
    check("the file", SLOW_FILE, open(path, "rb").read())


def elsewhere_one_line(fx):
    done = fx.joblog("export", "start", "slow", "--output", fx.dir + "/plain")
    check("exit", 0, done.returncode)
    lines = done.stderr.decode().splitlines()
    check("lines: %r" % lines, True, re.fullmatch(r"plain: 1\.4 MiB at [\d.]+ [KM]iB/s in [\dmsh.]+", lines[-1]) is not None)
    check("sequences", False, "\033" in done.stderr.decode())


def main():
    with gated(sys.argv[1]) as fx:
        the_queue_the_bar_the_end(fx)
        a_finished_one_that_is_still_fetched(fx)
        standard_output_without_follow(fx)
        a_reader_that_goes_away(fx)
        an_interrupt(fx)
        an_interrupt_of_a_file_that_is_there(fx)
        an_interrupt_before_the_first_byte(fx)
        an_export_that_is_cancelled(fx)
        a_place_that_is_taken(fx)
        elsewhere_one_line(fx)
        a_server_that_starts_again(fx)


main()
