#!/usr/bin/python3
"""Files of exports, read back by programs that know nothing of Joblog: Python's csv and openpyxl, jq, sqlite3, gzip, zstd.

A table of every type of PostgreSQL that one would export, with hostile texts, is exported in every format and
compression through the command line; each cell is held against what PostgreSQL itself says it is.
test_export_readers.py DIRECTORY-OF-PROGRAMS [SEED]
"""
import base64
import csv
import datetime
import io
import json
import os
import random
import re
import subprocess
import sys

import openpyxl
from export_fixture import Fixture
from openpyxl.utils.escape import unescape

SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
ROWS = 120
csv.field_size_limit(1 << 24)

# name, type, values as SQL (None: texts made at random)
COLUMNS = [
    ("id", "bigint", None),
    ("t", "text", "text"),
    ("v", "varchar(2000)", "text"),
    ("c", "char(7)", ["'ab'", "'=1+1'", "''"]),
    ("i2", "smallint", ["-32768", "32767", "0"]),
    ("i4", "integer", ["-2147483648", "2147483647", "7"]),
    ("i8", "bigint", ["-9223372036854775808", "9223372036854775807", "123456789012345", "1234567890123456"]),
    ("n", "numeric", ["'NaN'", "0.000000000000000000000001", "-99999999999999999999999999.5", "1.10", "12345.678", "0"]),
    ("f4", "real", ["'NaN'", "'Infinity'", "'-Infinity'", "3.4e38", "1e-37", "0.1", "-0.0"]),
    ("f8", "double precision", ["'NaN'", "'-Infinity'", "1.7976931348623157e308", "5e-324", "0.1::float8 + 0.2"]),
    ("b", "boolean", ["true", "false"]),
    ("d", "date", ["'2026-01-31'", "'0044-03-15 BC'", "'infinity'", "'-infinity'", "'9999-12-31'", "'10000-01-01'",
                   "'1900-02-28'", "'1900-03-01'"]),
    ("ts", "timestamp", ["'2026-01-31 23:59:59.999999'", "'0001-01-01 00:00:00'", "'infinity'", "'2000-02-29 12:00:00'",
                         "'9999-12-31 23:59:59.999999'", "'1999-12-31 23:59:59.9995'", "'1900-03-01 00:00:00.000001'",
                         "'10000-01-01 00:00:00'"]),
    ("tz", "timestamptz", ["'2026-01-31 12:00:00.123456+01'", "'294276-12-31 23:59:59+00'", "'-infinity'",
                           "'9999-12-31 23:59:59.999999+00'", "'9999-12-31 23:59:59.9999+00'", "'9999-12-31 23:59:59.999+00'",
                           "'2026-02-28 23:59:59.999499+00'"]),
    ("tm", "time", ["'23:59:59.5'", "'24:00:00'"]),
    ("iv", "interval", ["'-1 day'", "'1 year 2 mons -3 days 04:05:06.7'"]),
    ("js", "json", ["'{\"a\": [1, 2,\n 3], \"b\": \"x\\ty\\\\z\"}'", "'\"=1\"'", "'null'", "'-5'"]),
    ("jb", "jsonb", ["'{\"k\": {\"ñ\": \"🦤\\n\\\"\"}}'", "'[]'", "'true'"]),
    ("by", "bytea", ["'\\x00ff5c22'", "''"]),
    ("u", "uuid", ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("ai", "integer[]", ["'{1,NULL,-3}'", "'{}'", "'{{1,2},{3,4}}'"]),
    ("at", "text[]", ["ARRAY['=a', 'b\"c', 'd,e', NULL, E'\\n\\\\']"]),
    ("m", "money", ["'-5.00'", "'1234.5'"]),
    ("ip", "inet", ["'192.168.0.1/24'", "'::1'"]),
    ("e", "app.mood", ["'sad'", "'+ok'"]),
    ("r", "int4range", ["'[1,5)'", "'empty'"]),
    ("x", "xml", ["'<a b=\"1\">&amp;</a>'"]),
    ("pt", "point", ["'(1.5,-2)'"]),
    ("bt", "bit(5)", ["B'10101'"]),
    ("dm", "app.cents", ["12.34", "-0.5"]),
    ("row", "app.pair", ["ROW('=1', 2)::app.pair", "ROW(NULL, NULL)::app.pair"]),
    ("ts_v", "tsvector", ["to_tsvector('simple', 'it''s a \\ cat')"]),
    ("ttz", "timetz", ["'12:34:56.789+02'", "'00:00:00-12'", "'24:00:00+00'"]),
    ("ci", "cidr", ["'10.0.0.0/8'", "'2001:db8::/32'"]),
    ("ma", "macaddr", ["'08:00:2b:01:02:03'"]),
    ("m8", "macaddr8", ["'08:00:2b:01:02:03:04:05'"]),
    ("nr", "numrange", ["'[1.5,2.5]'", "'(,)'", "'(-1,0)'"]),
    ("tr", "tstzrange", ["'[2026-01-01 00:00+00,2026-02-01 00:00+01)'", "'[,2026-01-01 00:00+00]'"]),
    ("mr", "int4multirange", ["'{[1,3),[5,7)}'", "'{}'"]),
    ("au", "uuid[]", ["ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', NULL]::uuid[]"]),
    ("az", "timestamptz[]", ["ARRAY['2026-01-31 12:00:00.5+01', 'infinity', NULL]::timestamptz[]"]),
    ("ae", "app.mood[]", ["ARRAY['sad', '+ok']::app.mood[]", "'{}'"]),
    ("ab", "boolean[]", ["'{t,f,NULL}'"]),
    ("an", "app.cents[]", ["ARRAY[12.34, -0.5, NULL]::app.cents[]"]),
    ("ar", "app.pair[]", ["ARRAY[ROW('=1,\"', 2)::app.pair, NULL]"]),
    ("dt", "app.words", "text"),
    ("dd", "app.day", ["'2026-01-31'", "'0044-03-15 BC'", "'infinity'"]),
    ("de", "app.temper", ["'sad'", "'+ok'"]),
]
NUMBERS = {"id", "i2", "i4", "i8", "n", "f4", "f8", "dm"}
PLAIN = NUMBERS | {"b", "d", "ts", "tz", "tm", "iv", "m", "ttz", "dd"}  # written by PostgreSQL alone: no formula can be in them
PIECES = ["", "a", "=", "+", "-", "@", "\t", "\r", "\n", "\r\n", ",", ";", '"', "'", "\\", "\\N", "\\.", "|", "\\n", " ",
          "<&>", "]]>", "_x0041_", "_", "\x01", "\x1f", "\x7f", "\x0b", "\x0c", "\x08", "ñandú", "🦤", "שלום", "‮x", "\u2028",
          "\ufeff", "\ufffe", "\uffff", "NULL", "0123", "1e5", "%s", "{{7*7}}", "=cmd|' /C calc'!A0", "\x85", "e\u0301"]


def hostile(rnd):
    kind = rnd.random()
    if kind < 0.1:
        return None
    return "".join(rnd.choice(PIECES) for _ in range(rnd.randrange(6)))


def literal(text):
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def make_table(fx, rnd):
    fx.sql("""CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', '+ok'); CREATE DOMAIN app.cents AS numeric(10, 2);
              CREATE TYPE app.pair AS (a text, b int); CREATE DOMAIN app.words AS text CHECK (length(VALUE) < 1000);
              CREATE DOMAIN app.day AS date; CREATE DOMAIN app.temper AS app.mood;
              CREATE TABLE app.nasty (%s)""" % ", ".join('"%s" %s' % (n, t) for n, t, _ in COLUMNS))
    rows = []
    for i in range(ROWS):
        row = []
        for name, _, values in COLUMNS:
            if name == "id":
                row.append(str(i))
            elif values == "text":
                row.append(literal(hostile(rnd)))
            else:
                row.append(rnd.choice(values + ["NULL"]))
        rows.append("(" + ", ".join(row) + ")")
    rows.append("(%d, repeat('1 MB ñ\"', 150000)%s)" % (ROWS, ", NULL" * (len(COLUMNS) - 2)))
    fx.sql("SET standard_conforming_strings = on; INSERT INTO app.nasty VALUES %s;" % ",\n".join(rows))
    # What PostgreSQL's output functions write, which is not always the cast to text; jsonb_build_object takes at most 100
    # arguments.
    half = len(COLUMNS) // 2
    parts = [", ".join("'%s', CASE num_nulls(\"%s\") WHEN 0 THEN format('%%s', \"%s\") END" % (n, n, n)
                       for n, _, _ in part) for part in (COLUMNS[:half], COLUMNS[half:])]
    truth = in_base64(fx, "jsonb_build_object(%s) || jsonb_build_object(%s)" % tuple(parts))
    as_json = ", ".join("'%s', \"%s\"" % (n, n) for n in ("ai", "at", "js", "jb", "row", "au", "az", "ae", "ab", "an", "ar"))
    return truth, in_base64(fx, "json_build_object(%s)" % as_json)


def in_base64(fx, expression):
    """One JSON value a row: whatever is in the texts, psql's lines stay whole."""
    out = fx.sql("SELECT encode(convert_to((%s)::text, 'UTF8'), 'base64') || '.' FROM app.nasty ORDER BY id;" % expression)
    return [json.loads(base64.b64decode(one)) for one in out.split(".") if one.strip()]


def check(what, want, got):
    if want != got:
        sys.exit("seed %d: %s\n want %.300r\n got  %.300r" % (SEED, what, want, got))


def safe(name, text):
    if name not in PLAIN and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and text:
        return "'" + text
    return text


def check_csv(truth, data, delimiter=",", null="", formulas=False, header=True, mark=False):
    if mark:
        check("byte order mark", b"\xef\xbb\xbf", data[:3])
        data = data[3:]
    text = data.decode("utf-8")
    check("end", "\r\n", text[-2:])
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    if header:
        check("titles", [n for n, _, _ in COLUMNS], rows.pop(0))
    check("rows", len(truth), len(rows))
    for want, got in zip(truth, rows):
        for (name, _, _), cell in zip(COLUMNS, got):
            value = null if want[name] is None else want[name]
            if want[name] is not None and not formulas:
                value = safe(name, value)
            check("csv row %s column %s" % (want["id"], name), value, cell)


def check_sqlite(fx, truth, data):
    """sqlite3 takes what RFC 4180 has; it cannot tell NULL from an empty text."""
    path = os.path.join(fx.dir, "import.csv")
    with open(path, "wb") as f:
        f.write(data)
    out = subprocess.run(["sqlite3", ":memory:", ".mode csv", ".import %s nasty" % path, ".mode json",
                          "SELECT * FROM nasty ORDER BY CAST(id AS INTEGER)"],
                         stdout=subprocess.PIPE, check=True).stdout
    rows = json.loads(out.decode("utf-8", "surrogatepass"), strict=False)
    check("sqlite rows", len(truth), len(rows))
    for want, got in zip(truth, rows):
        for name, _, _ in COLUMNS:
            if want[name] is not None and "\x00" not in want[name]:
                check("sqlite row %s column %s" % (want["id"], name), safe(name, want[name]), got[name])


def json_number(name, text):
    if name in NUMBERS and text not in ("NaN", "Infinity", "-Infinity"):
        return True
    return False


def check_jsonl(truth, as_json, data):
    lines = data.decode("utf-8").split("\n")
    check("last line", "", lines.pop())
    check("lines", len(truth), len(lines))
    for want, js, line in zip(truth, as_json, lines):
        got = json.loads(line, parse_int=str, parse_float=str)
        check("members", [n for n, _, _ in COLUMNS], list(got))
        for name, _, _ in COLUMNS:
            value, cell = want[name], got[name]
            where = "jsonl row %s column %s" % (want["id"], name)
            if value is None:
                check(where, None, cell)
            elif name == "b":
                check(where, value == "t", cell)
            elif name in js:
                check(where, js[name], json.loads(line)[name])
            elif name in ("ts", "tz") and re.match(r"^\d{4}-\d\d-\d\d .*\d$", value):
                check(where, re.sub(r"\+00$", "Z", value.replace(" ", "T", 1)), cell)
            else:
                check(where, value, cell)
                raw = re.search(r'"%s":("?)' % name, line).group(1)
                check(where + " quotes", "" if json_number(name, value) else '"', raw)


def check_jq(truth, data):
    out = subprocess.run(["jq", "-c", "[.id, .t, .b]"], input=data, stdout=subprocess.PIPE, check=True).stdout
    rows = [json.loads(line) for line in out.decode().split("\n") if line]
    check("jq", [[int(r["id"]), r["t"], None if r["b"] is None else r["b"] == "t"] for r in truth], rows)


def cut(text):
    units = text.encode("utf-16-le")
    return text if len(units) // 2 <= 32767 else None


def check_xlsx(fx, truth, data):
    path = os.path.join(fx.dir, "book.xlsx")
    with open(path, "wb") as f:
        f.write(data)
    subprocess.run(["/usr/bin/python3", "-m", "zipfile", "-t", path], check=True, stdout=subprocess.DEVNULL)
    rows = list(openpyxl.load_workbook(path, read_only=False).active.iter_rows())
    check("xlsx titles", [n for n, _, _ in COLUMNS], [c.value for c in rows.pop(0)])
    check("xlsx rows", len(truth), len(rows))
    for want, row in zip(truth, rows):
        for (name, _, _), cell in zip(COLUMNS, row):
            value, got = want[name], cell.value
            where = "xlsx row %s column %s" % (want["id"], name)
            if value is None:
                check(where, None, got)
            elif name == "b":
                check(where, value == "t", got)
            elif name in NUMBERS and isinstance(got, (int, float)):
                check(where, float(value), float(got))
                if name not in ("f4", "f8"):
                    digits = re.sub(r"e.*|[-.]", "", value).lstrip("0")
                    check(where + ": few digits", True, len(digits) <= 15)
            elif isinstance(got, datetime.datetime):
                pattern = "%Y-%m-%d %H:%M:%S.%f" if "." in value else "%Y-%m-%d %H:%M:%S" if ":" in value else "%Y-%m-%d"
                wanted = datetime.datetime.strptime(re.sub(r"\+00$", "", value), pattern)
                check(where, wanted.replace(microsecond=wanted.microsecond // 1000 * 1000), got)
            elif cut(value) is None:
                got = unescape(got)
                check(where + " is cut", True, got.endswith("…") and value.startswith(got[:-1]))
                check(where + " length", True, len(got.encode("utf-16-le")) // 2 <= 32767)
            else:
                check(where, value, unescape(got or ""))
    kinds = {row[10].data_type for row in rows if row[10].value is not None}
    check("xlsx booleans", {"b"}, kinds)


def check_one_column(truth, data, null):
    """A NULL of a single column is an empty line, which readers pass over; with a text for NULL it is a row."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))[1:]
    check("rows of one column", [([null] if null else []) if row["v"] is None else [safe("v", row["v"])] for row in truth], rows)


def the_same_from_a_directory(fx, plain, lines, book):
    """Byte for byte, the workbook too: it does not bear the time at which it was made."""
    place = os.path.join(fx.dir, "files")
    os.mkdir(place)
    fx.end()
    fx.start("--export-directory", place)
    check("csv of a directory", plain, fx.export("nasty"))
    check("lines of a directory", lines, fx.export("nasty", "--format", "jsonl"))
    check("workbook of a directory", book, fx.export("nasty", "--format", "xlsx"))
    packed = fx.export("nasty", "--compression", "zstd")
    check("zstd of a directory", plain, subprocess.run(["zstd", "-dc"], input=packed, stdout=subprocess.PIPE).stdout)
    check("files in it", 4, len([name for name in os.listdir(place) if name.endswith(".data")]))


def main():
    rnd = random.Random(SEED)
    fx = Fixture(sys.argv[1])
    try:
        truth, as_json = make_table(fx, rnd)
        fx.write_types([{"name": "nasty", "title": "Nasty [x]/*?", "relation": "app.nasty",
                         "columns": [{"name": n} for n, _, _ in COLUMNS], "order": {"column": "id"}}])
        text = fx.reload()
        check("reload", True, "export types loaded types=2" in text)
        plain = fx.export("nasty")
        check_csv(truth, plain)
        check_sqlite(fx, truth, plain)
        check_csv(truth, fx.export("nasty", "--delimiter", ";", "--null", "NULL", "--bom", "--keep-formulas"), ";", "NULL", True,
                  mark=True)
        check_csv(truth, fx.export("nasty", "--delimiter", "tab", "--no-header", "--null", "\\N"), "\t", "\\N", header=False)
        check_one_column(truth, fx.export("nasty", "--columns", "v"), "")
        check_one_column(truth, fx.export("nasty", "--columns", "v", "--null", "(none)"), "(none)")
        lines = fx.export("nasty", "--format", "jsonl")
        check_jsonl(truth, as_json, lines)
        check_jq(truth, lines)
        book = fx.export("nasty", "--format", "xlsx")
        check_xlsx(fx, truth, book)
        for name, data, args in (("csv", plain, []), ("jsonl", lines, ["--format", "jsonl"])):
            for packer, unpack in (("gzip", ["gzip", "-dc"]), ("zstd", ["zstd", "-dc"])):
                packed = fx.export("nasty", "--compression", packer, *args)
                got = subprocess.run(unpack, input=packed, stdout=subprocess.PIPE, check=True).stdout
                check("%s in %s" % (name, packer), data, got)
        the_same_from_a_directory(fx, plain, lines, book)
    finally:
        code = fx.stop()
    check("exit of joblogd", 0, code)
    print("seed %d: all equal" % SEED)


main()
