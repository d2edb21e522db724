#!/usr/bin/python3
"""The way of an export as another service goes it, over stock gRPC: started by its type with a filter, shown to who started
it, watched, downloaded, seen by an administrator and by nobody else. Every field of the answers has the value it must have.
test_export_service.py PROGRAMS TREE"""
import hashlib
import os
import re
import sys
import threading

BIN, TREE = sys.argv[1:]
sys.path[:0] = [os.path.join(TREE, "tests", "campaign")]
import cluster  # noqa: E402
import grpc  # noqa: E402
from export_fixture import Fixture, Gate, check, until  # noqa: E402
from google.protobuf.json_format import MessageToDict  # noqa: E402

# Ten rows of John's of 100 kB each. While the gate is shut an export stands before the eighth: seven are on their way, and
# the last 8 KiB of the seventh are in the source's buffer. So six of ten are written.
SCHEMA = """
CREATE SCHEMA app;
CREATE FUNCTION app.note(id int) RETURNS text STABLE LANGUAGE plpgsql AS
  $$BEGIN IF id = 8 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN repeat('z', 100000); END$$;
CREATE TABLE app.person (id int, name text, email text, balance numeric(10, 2), seen timestamptz);
INSERT INTO app.person SELECT g, CASE WHEN g <= 10 THEN 'John ' || g ELSE 'Mary ' || g END, 'p' || g || '@example.com', g / 4.0,
  '2026-01-31 12:00+00' FROM generate_series(1, 25) g;
CREATE VIEW app.users AS SELECT *, app.note(id) AS note FROM app.person;
CREATE VIEW app.broken AS SELECT 1 / (id - 3) AS id FROM app.person;
"""
USERS = {"name": "users", "title": "Usuarios", "relation": "app.users", "row_limit": 5000,
         "columns": [{"name": "id", "title": "Id"}, {"name": "name", "title": "Nombre"}, {"name": "email"},
                     {"name": "balance", "format": "#,##0.00"}, {"name": "seen"}, {"name": "note", "sortable": False}],
         "filters": [{"field": "search", "title": "Buscar", "operators": ["search"], "columns": ["name", "email"]},
                     {"field": "id", "type": "integer", "operators": ["between", "equals", "in"]}]}
BROKEN = {"name": "broken", "relation": "app.broken", "columns": [{"name": "id"}],
          "order": {"column": "id", "direction": "descending"}}
FILE = b"Id,Nombre,email,balance,seen,note\r\n" + b"".join(
    b"%d,John %d,p%d@example.com,%.2f,2026-01-31 12:00:00+00,%s\r\n" % (i, i, i, i / 4, b"z" * 100000) for i in range(1, 11))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def crc_table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


CRC = list(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Caller:
    """Somebody with a token of its own."""

    def __init__(self, service, token_file):
        with open(token_file, encoding="ascii") as f:
            self.metadata = [("authorization", "Bearer " + f.read().strip())]
        self.service = service

    def call(self, method, request, **more):
        stub = self.service.jobs if hasattr(self.service.jobs, method) else self.service.exports
        return getattr(stub, method)(request, metadata=self.metadata, timeout=60, **more)

    def refused(self, method, request):
        try:
            answer = self.call(method, request)
            for _ in answer if hasattr(answer, "cancel") else ():
                pass
        except grpc.RpcError as e:
            return e.code()
        return None


class Service:
    def __init__(self, fx):
        sys.path.insert(0, cluster.make_stubs(TREE, fx.dir))
        from joblog.v1 import export_pb2, export_pb2_grpc, job_log_pb2, job_log_pb2_grpc
        self.pb, self.log_pb = export_pb2, job_log_pb2
        self.channel = grpc.insecure_channel(fx.address)
        self.exports = export_pb2_grpc.ExportServiceStub(self.channel)
        self.jobs = job_log_pb2_grpc.JobLogServiceStub(self.channel)
        self.admin = Caller(self, fx.env["JOBLOG_TOKEN_FILE"])
        self.ann, self.bob = self.caller(fx, "ann"), self.caller(fx, "bob")

    def caller(self, fx, name):
        path = os.path.join(fx.dir, name + ".token")
        made = fx.joblog("token", "create", name, "--role", "exporter", "--owner", name, "--output", path)
        check("token " + made.stderr.decode(), 0, made.returncode)
        return Caller(self, path)


def fields(message):
    """All of them, also those that are not set."""
    return MessageToDict(message, including_default_value_fields=True, preserving_proto_field_name=True)


def same(what, want, got):
    """Every member, and no other."""
    if isinstance(want, dict) and isinstance(got, dict):
        check("members of " + what, sorted(want), sorted(got))
        for name in want:
            same("%s.%s" % (what, name), want[name], got[name])
    elif isinstance(want, list) and isinstance(got, list):
        check("length of " + what, len(want), len(got))
        for i, (one, other) in enumerate(zip(want, got)):
            same("%s[%d]" % (what, i), one, other)
    else:
        check(what, want, got)


def take_time(where, *names):
    """Takes out what is of the moment; it must be a time, and not before the one in front of it."""
    before = ""
    for name in names:
        value = where.pop(name)
        check(name + " is a time", True, bool(TIME.fullmatch(value)))
        check("%s is not before what came first" % name, True, value[:23] >= before[:23])
        before = value


def job_as_asked(export, **more):
    """The fields of the job of an export of ann's that has just been started, without times."""
    job = {"id": export, "job_name": "joblog.export", "queue": "joblog.exports", "status": "JOB_STATUS_PENDING", "priority": 0,
           "owner": "ann", "labels": {}, "payload": "", "result": "", "attempt": 0,
           "retry_policy": {"max_attempts": 7, "initial_backoff": "1s", "max_backoff": "60s", "multiplier": 2.0, "jitter": 0.1,
                            "backoff": "BACKOFF_EXPONENTIAL", "delays": []},
           "request_id": "john-1", "batch": "", "traceparent": "", "creator": "token:ann", "worker": "", "attempts": [],
           "transitions": [], "uncounted_attempts": 0, "cancel_reason": ""}
    job.update(more)
    return job


def export_as_asked(job, **more):
    export = {"job": job, "export_type": "users", "title": "Usuarios",
              "filters": [{"field": "search", "operator": "FILTER_OPERATOR_SEARCH", "values": ["john"]}],
              "format": "EXPORT_FORMAT_CSV", "columns": ["id", "name", "email", "balance", "seen", "note"], "order": [],
              "compression": "EXPORT_COMPRESSION_NONE",
              "csv": {"delimiter": ",", "byte_order_mark": False, "no_header": False, "null_text": "", "keep_formulas": False},
              "file_state": "EXPORT_FILE_STATE_NONE_YET", "language": "es", "completed": False, "failed": False,
              "file_name": "john.csv"}
    export.update(more)
    return export


def what_a_form_needs(s):
    types = fields(s.ann.call("ListExportTypes", s.pb.ListExportTypesRequest()))["export_types"]
    check("types", ["broken", "jobs", "users"], [t["name"] for t in types])

    check("order of one that has one", [{"column": "id", "descending": True}], types[0]["order"])

    def column(name, title, value_type, form="", sortable=True):
        return {"name": name, "title": title, "value_type": "EXPORT_VALUE_TYPE_" + value_type, "format": form,
                "sortable": sortable}

    same("the type", {
        "name": "users", "title": "Usuarios",
        "columns": [column("id", "Id", "INTEGER"), column("name", "Nombre", "TEXT"), column("email", "email", "TEXT"),
                    column("balance", "balance", "NUMBER", "#,##0.00"), column("seen", "seen", "TIMESTAMP"),
                    column("note", "note", "TEXT", sortable=False)],
        "filters": [{"field": "search", "title": "Buscar", "operators": ["FILTER_OPERATOR_SEARCH"],
                     "value_type": "EXPORT_VALUE_TYPE_TEXT"},
                    {"field": "id", "title": "id",
                     "operators": ["FILTER_OPERATOR_BETWEEN", "FILTER_OPERATOR_EQUALS", "FILTER_OPERATOR_IN"],
                     "value_type": "EXPORT_VALUE_TYPE_INTEGER"}],
        "formats": ["EXPORT_FORMAT_CSV", "EXPORT_FORMAT_JSON_LINES", "EXPORT_FORMAT_XLSX"],
        "order": [], "max_rows": "5000", "own_rows_only": False,
        "compressions": ["EXPORT_COMPRESSION_NONE", "EXPORT_COMPRESSION_GZIP", "EXPORT_COMPRESSION_ZSTD"]}, types[2])


def beyond(s, field, **more):
    """One more than what a form is told it may have."""
    request = dict(export_type="users", **more)
    try:
        s.ann.call("StartExport", s.pb.StartExportRequest(**request))
    except grpc.RpcError as e:
        check("code of too much of " + field, grpc.StatusCode.INVALID_ARGUMENT, e.code())
        check("its words name " + field + ": " + e.details(), True, "at most" in e.details() or "1 to" in e.details())
        return
    sys.exit("taken: too much of " + field)


def what_is_the_same_for_all_types(s):
    """The limits that the contract tells a form: as much is taken, and not one more."""
    f = s.pb.ExportFilter
    ids = f(field="id", operator=s.pb.FILTER_OPERATOR_IN, values=["1"] * 100)
    more = f(field="id", operator=s.pb.FILTER_OPERATOR_IN, values=["1"] * 101)
    long, longer = f(field="search", values=["x" * 500]), f(field="search", values=["x" * 501])
    order = [s.pb.ExportOrder(column=c) for c in ("id", "name", "email", "balance", "seen")]
    most = dict(filters=[ids] + [long] * 49, order=order, file_name="n" * 200, language="e" * 35,
                csv=s.pb.CsvOptions(delimiter="|", null_text="N" * 20))
    export = s.ann.call("StartExport", s.pb.StartExportRequest(export_type="users", **most)).export.job.id
    last = [m.export for m in s.ann.call("WatchExport", s.pb.WatchExportRequest(id=export))][-1]
    check("the most that may be asked for", True, last.completed)
    beyond(s, "filters", filters=[long] * 51)
    beyond(s, "values of in", filters=[more])
    beyond(s, "bytes of a value", filters=[longer])
    beyond(s, "columns to order by", order=order + order[:1])
    beyond(s, "columns", columns=["id"] * 1001)
    beyond(s, "the name of the file", file_name="n" * 201)
    beyond(s, "what stands for NULL", csv=s.pb.CsvOptions(null_text="N" * 21))
    s.ann.call("DeleteExport", s.pb.DeleteExportRequest(id=export))


def without_moment(export):
    """The fields of one that has not begun to run, less its times."""
    got = fields(export)
    take_time(got["job"], "create_time", "run_time")
    check("revision", True, int(got["job"].pop("revision")) > 0)
    return got


def john(s, **more):
    return s.pb.StartExportRequest(export_type="users", filters=[s.pb.ExportFilter(field="search", values=["john"])],
                                   file_name="john.csv", language="es", request_id="john-1", **more)


def answered_at_once(s):
    """With the export and words for a person, while another one has the only export worker; then as before."""
    busy = s.bob.call("StartExport", s.pb.StartExportRequest(export_type="users")).export.job.id
    until("the worker is busy", lambda: own_exports(s, "bob")[0].job.progress.done > 0)
    answer = s.ann.call("StartExport", john(s))
    export = str(answer.export.job.id)
    check("id", True, int(export) > 0)
    got = {"export": without_moment(answer.export), "message": answer.message}
    same("the answer", {"export": export_as_asked(job_as_asked(export)),
                         "message": "La exportación de Usuarios ha comenzado; siga la exportación " + export}, got)
    again = s.ann.call("StartExport", john(s))
    check("the same request", (export, got["message"]), (str(again.export.job.id), again.message))
    same("the same in the list", [got["export"]], [without_moment(e) for e in own_exports(s, "ann")])
    s.bob.call("CancelExport", s.pb.CancelExportRequest(id=busy))
    return int(export)


def own_exports(s, who):
    return s.__dict__[who].call("ListExports", s.pb.ListExportsRequest()).exports


def the_catalogue(s, who, language):
    """What a page shows of a status: value, name, label, colour, icon."""
    answer = s.__dict__[who].call("ListJobStatuses", s.log_pb.ListJobStatusesRequest(language=language))
    return {status["status"]: status for status in fields(answer)["statuses"]}


def status_object(name, label, color, icon):
    return {"status": "JOB_STATUS_" + name.upper(), "name": name, "label": label, "color": color, "icon": icon}


def at_sixty_percent(s, export):
    until("six of ten rows are written", lambda: own_exports(s, "ann")[0].job.progress.done >= 6)
    got = fields(own_exports(s, "ann")[0])
    check("exports of ann", 1, len(own_exports(s, "ann")))
    job = got["job"]
    take_time(job, "create_time", "start_time")
    take_time(job, "run_time")
    take_time(job["progress"], "eta")
    for name in ("wait_duration", "execution_duration"):
        check(name, True, float(job.pop(name)[:-1]) >= 0)
    check("revision", True, int(job.pop("revision")) > 0)
    check("worker", True, job.pop("worker") != "")
    want = job_as_asked(str(export), status="JOB_STATUS_RUNNING", attempt=1, progress={
        "percent": 60.0, "done": "6", "total": "10", "unit": "rows", "step": "Generando archivo…"})
    del want["worker"]
    same("the export that runs", export_as_asked(want, file_state="EXPORT_FILE_STATE_WRITING"), got)
    statuses = the_catalogue(s, "ann", "es")
    same("its status", status_object("running", "Ejecutándose", "blue", "play"), statuses[job["status"]])
    same("all statuses", [status_object("pending", "Pendiente", "yellow", "clock"),
                           status_object("running", "Ejecutándose", "blue", "play"),
                           status_object("completed", "Completado", "green", "check"),
                           status_object("failed", "Fallido", "red", "x"),
                           status_object("cancelled", "Cancelado", "gray", "ban")], list(statuses.values()))
    check("in English", "Running", the_catalogue(s, "ann", "en")[job["status"]]["label"])


class Watcher(threading.Thread):
    def __init__(self, s, export):
        super().__init__()
        self.stream = s.ann.call("WatchExport", s.pb.WatchExportRequest(id=export))
        self.seen, self.first = [], threading.Event()
        self.start()

    def run(self):
        for message in self.stream:
            self.seen.append(message.export)
            self.first.set()


def watched_to_its_end(s, fx, export):
    watcher = Watcher(s, export)
    check("a first message", True, watcher.first.wait(60))
    check("the one of now", (60.0, False, False), (watcher.seen[0].job.progress.percent, watcher.seen[0].completed,
                                                   watcher.seen[0].failed))
    fx.gate.open()
    watcher.join(60)
    seen = watcher.seen
    check("end of the watch", grpc.StatusCode.OK, watcher.stream.code())
    check("revisions ascend", True, all(a.job.revision < b.job.revision for a, b in zip(seen, seen[1:])))
    check("progress never falls", True, all(a.job.progress.done <= b.job.progress.done for a, b in zip(seen, seen[1:])))
    check("completed in the last one only", [False] * (len(seen) - 1) + [True], [e.completed for e in seen])
    check("failed in none", True, not any(e.failed for e in seen))
    check("a file in the last one only", [False] * (len(seen) - 1) + [True], [e.HasField("file") for e in seen])
    check("the last one is what GetExport gives", s.ann.call("GetExport", s.pb.GetExportRequest(id=export)), seen[-1])
    return fields(seen[-1])


def the_finished_one(got, export):
    job, file = got["job"], got["file"]
    take_time(job, "create_time", "start_time", "end_time")
    take_time(job, "run_time")
    take_time(file, "expire_time")
    for name in ("wait_duration", "execution_duration"):
        check(name, True, float(job.pop(name)[:-1]) >= 0)
    check("revision", True, int(job.pop("revision")) > 0)
    check("worker", True, job.pop("worker") != "")
    want = job_as_asked(str(export), status="JOB_STATUS_COMPLETED", attempt=1, progress={
        "percent": 100.0, "done": "10", "total": "10", "unit": "rows", "step": ""})
    del want["worker"]
    want["progress"]["step"] = job["progress"]["step"]
    check("the last step", "Terminando…", job["progress"]["step"])
    same("the finished export", export_as_asked(
        want, file_state="EXPORT_FILE_STATE_READY", completed=True,
        file={"file_name": "john.csv", "content_type": "text/csv; charset=utf-8; header=present", "size": str(len(FILE)),
              "rows": "10", "sha256": hashlib.sha256(FILE).hexdigest(), "complete": True, "cut_cells": "0"}), got)


def expiry(s, export):
    e = s.ann.call("GetExport", s.pb.GetExportRequest(id=export))
    kept = e.file.expire_time.seconds - e.job.end_time.seconds
    check("kept for a week", True, abs(kept - 7 * 24 * 3600) < 60)


def pieces(s, who, stop=None, **request):
    """The messages of a download; the stream is cut off after so many bytes."""
    stream = who.call("DownloadExport", s.pb.DownloadExportRequest(**request))
    at, out = request.get("offset", 0), []
    for message in stream:
        check("offset", at, message.offset)
        check("crc32c", crc32c(message.data), message.crc32c)
        check("the file in the first message", not out, message.HasField("file"))
        at += len(message.data)
        out.append(message)
        if stop and at >= stop:
            stream.cancel()
            break
    return out


def downloaded(s, export, who):
    """Cut off in the middle, gone on with at the next byte, checked piece by piece and as a whole."""
    first = pieces(s, who, stop=1, id=export)
    check("more than one piece", True, len(first[0].data) < len(FILE))
    check("the file", s.ann.call("GetExport", s.pb.GetExportRequest(id=export)).file, first[0].file)
    check("the attempt", True, first[0].attempt > 0)
    got = first[0].data[:-10]  # what a client may have kept of it
    rest = pieces(s, who, id=export, offset=len(got), attempt=first[0].attempt)
    check("of one attempt", {first[0].attempt}, {m.attempt for m in rest})
    whole = got + b"".join(m.data for m in rest)
    check("the bytes", True, whole == FILE)
    check("their sum", first[0].file.sha256, hashlib.sha256(whole).hexdigest())
    check("of another attempt", grpc.StatusCode.ABORTED, who.refused("DownloadExport", s.pb.DownloadExportRequest(
        id=export, offset=5, attempt=first[0].attempt + 1)))


def failed_and_cancelled(s, fx):
    """One flag or none, the error for a person, and no file."""
    export = s.ann.call("StartExport", s.pb.StartExportRequest(export_type="broken")).export.job.id
    last = [m.export for m in s.ann.call("WatchExport", s.pb.WatchExportRequest(id=export))][-1]
    check("flags of one that failed", (False, True), (last.completed, last.failed))
    check("state of its file", s.pb.EXPORT_FILE_STATE_NONE, last.file_state)
    check("its error", ("ExportSourceFailed", ""), (last.job.error.type, last.job.error.stack_trace))
    check("words of its error", "the database failed at a value of the rows that were asked for", last.job.error.message)
    check("its download", grpc.StatusCode.FAILED_PRECONDITION,
          s.ann.refused("DownloadExport", s.pb.DownloadExportRequest(id=export)))
    fx.gate.shut()
    answer = s.ann.call("StartExport", s.pb.StartExportRequest(
        export_type="users", filters=[s.pb.ExportFilter(field="search", values=["john"])]))
    export = answer.export.job.id
    check("the message in English", "export of Usuarios has started; watch export %d" % export, answer.message)
    check("a name made of the type and the day", True,
          bool(re.fullmatch(r"users-\d{4}-\d\d-\d\d\.csv", answer.export.file_name)))
    until("it writes", lambda: s.ann.call("GetExport", s.pb.GetExportRequest(id=export)).job.progress.done > 0)
    check("the step in English", "writing file",
          s.ann.call("GetExport", s.pb.GetExportRequest(id=export)).job.progress.step)
    s.ann.call("CancelExport", s.pb.CancelExportRequest(id=export, reason="no more"))
    last = [m.export for m in s.ann.call("WatchExport", s.pb.WatchExportRequest(id=export))][-1]
    check("flags of one that was cancelled", (False, False), (last.completed, last.failed))
    same("its status", 5, last.job.status)
    fx.gate.open()


def who_sees_what(s, export):
    """Users their own exports and no more; administrators all jobs, and any export by its id."""
    check("exports of bob", [5], [e.job.status for e in own_exports(s, "bob")])
    check("exports, for an administrator", ["ann", "ann", "ann", "bob"], [e.job.owner for e in own_exports(s, "admin")])
    for method, request in (("GetExport", s.pb.GetExportRequest(id=export)), ("WatchExport", s.pb.WatchExportRequest(id=export)),
                            ("DownloadExport", s.pb.DownloadExportRequest(id=export)),
                            ("CancelExport", s.pb.CancelExportRequest(id=export)),
                            ("DeleteExport", s.pb.DeleteExportRequest(id=export))):
        check(method + " by bob", grpc.StatusCode.NOT_FOUND, s.bob.refused(method, request))
    mine = s.bob.call("StartExport", s.pb.StartExportRequest(export_type="jobs")).export.job.id
    list(s.bob.call("WatchExport", s.pb.WatchExportRequest(id=mine)))
    check("exports of bob now", [(mine, 3), (own_exports(s, "bob")[1].job.id, 5)],
          [(e.job.id, e.job.status) for e in own_exports(s, "bob")])
    check("jobs, for an exporter", grpc.StatusCode.PERMISSION_DENIED, s.bob.refused("ListJobs", s.log_pb.ListJobsRequest()))
    jobs = s.admin.call("ListJobs", s.log_pb.ListJobsRequest()).jobs
    check("jobs, for an administrator", {("ann", "joblog.export"), ("bob", "joblog.export")},
          {(job.owner, job.job_name) for job in jobs})
    check("how many", 5, len(jobs))
    check("ann's, for an administrator", s.ann.call("GetExport", s.pb.GetExportRequest(id=export)),
          s.admin.call("GetExport", s.pb.GetExportRequest(id=export)))
    downloaded(s, export, s.admin)


def main():
    for variable in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        os.environ.pop(variable, None)
    fx = Fixture(BIN, "--export-workers=1")
    with fx:
        fx.sql(SCHEMA)
        fx.write_types([USERS, BROKEN])
        fx.reload("export types loaded types=3")
        fx.gate = Gate(fx)
        s = Service(fx)
        what_a_form_needs(s)
        fx.gate.shut()
        export = answered_at_once(s)
        at_sixty_percent(s, export)
        the_finished_one(watched_to_its_end(s, fx, export), export)
        expiry(s, export)
        downloaded(s, export, s.ann)
        failed_and_cancelled(s, fx)
        who_sees_what(s, export)
        what_is_the_same_for_all_types(s)
        s.channel.close()
        fx.gate.end()


main()
