#!/usr/bin/python3
"""A directory of exports with a real joblogd: an end in the middle of a sweep, whose it is, and how that of the version before,
which made no mark, is taken over. test_export_sweep.py DIRECTORY-OF-PROGRAMS"""
import os
import shutil
import subprocess
import sys

from export_fixture import BIG, SCHEMA, Fixture, begin, check, has, until

REMAINS = 20000
MARK = "joblog-database"


def remains(fx):
    with os.scandir(fx.files) as files:
        return sum(f.name.endswith("-1.part") for f in files)


def scatter(fx, n):
    """What attempts that died might have left."""
    for i in range(n):
        os.close(os.open("%s/%d-1.part" % (fx.files, 1000 + i), os.O_CREAT | os.O_WRONLY, 0o600))


def an_end_in_the_middle_of_a_sweep(fx):
    check("exit of joblogd", 0, fx.end())
    scatter(fx, REMAINS)
    fx.start(*fx.args)
    until("the sweep has begun", lambda: remains(fx) < REMAINS)
    check("exit in the middle of it", 0, fx.end())
    check("files that are left to the next sweep: %d" % remains(fx), True, remains(fx) > 0)
    with open(fx.dir + "/log") as log:
        warnings = [line for line in log if " warning " in line and ("not removed" in line or "lost" in line)]
        check("warnings", [], warnings)
    fx.start(*fx.args)
    until("the next one goes on", lambda: remains(fx) == 0)


def download(fx, export):
    done = fx.joblog("export", "download", export, "--output", "-")
    check("download: " + done.stderr.decode(), 0, done.returncode)
    return done.stdout


def an_upgrade(fx, export, data):
    """Of a version that made no marks, with a file and with remains."""
    check("exit of joblogd", 0, fx.end())
    os.unlink(fx.files + "/" + MARK)
    scatter(fx, 3)
    others = ["%d-2.data" % n for n in range(10)]  # nobody's files: directories, and names that are not quite ours
    for name in others:
        os.mkdir(fx.files + "/" + name)
    for name in ("+7-3.part", "7--3.part", "07-3.data"):
        others.append(name)
        os.close(os.open(fx.files + "/" + name, os.O_CREAT | os.O_WRONLY, 0o600))
    size = os.path.getsize(fx.dir + "/log")
    fx.start(*fx.args)
    check("marked", True, os.path.exists(fx.files + "/" + MARK))
    until("remains are swept as ever", lambda: remains(fx) == 0)
    check("the file", data, download(fx, export))
    check("what is not ours", [], [name for name in others if not os.path.exists(fx.files + "/" + name)])
    check("exit of joblogd", 0, fx.end())
    with open(fx.dir + "/log") as log:
        log.seek(size)
        check("warnings", [], [line for line in log if "not removed" in line])
    for name in others:
        (os.rmdir if name.endswith("-2.data") else os.unlink)(fx.files + "/" + name)
    fx.start(*fx.args)


def files_of_another_deployment(fx):
    """Of one of the version before: they are as unmarked as they are unknown."""
    others = fx.dir + "/others"
    shutil.copytree(fx.files, others)
    os.unlink(others + "/" + MARK)
    before = sorted(os.listdir(others))
    check("files: %s" % before, True, len(before) > 0)
    other = subprocess.run([fx.bin + "/joblogd", "--embedded", fx.dir + "/other", "--listen", "127.0.0.1:0", "--export-directory",
                            others], env=fx.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    check("refused: " + other.stdout[-300:], True, other.returncode > 0)
    has("why", "has files of exports that this database knows nothing of", other.stdout)
    check("files of before", before, sorted(os.listdir(others)))


def main():
    args = ["--export-owner-running=0"]
    fx = Fixture(sys.argv[1], *args)
    fx.files, fx.args = fx.dir + "/files", args
    with fx:
        fx.sql(SCHEMA)
        fx.write_types([BIG])
        fx.reload("export types loaded types=2")
        check("exit of joblogd", 0, fx.end())
        os.mkdir(fx.files)
        fx.args += ["--export-directory", fx.files]
        fx.start(*fx.args)
        export = begin(fx, "big", "--watch")
        data = download(fx, export)
        an_end_in_the_middle_of_a_sweep(fx)
        an_upgrade(fx, export, data)
        files_of_another_deployment(fx)


main()
