#!/usr/bin/python3
"""Workbooks of several sheets, and of the form that archives beyond 4 GiB have, as openpyxl reads them; and Excel's own
limit of rows in full. test_export_sheets.py EXPORT_SHEETS"""
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

import openpyxl

SHEET_MAX = 1048576


def check(what, want, got):
    if want != got:
        sys.exit("%s\n want %.300r\n got  %.300r" % (what, want, got))


def make(path, *args):
    subprocess.run([sys.argv[1], path, *map(str, args)], check=True)


def rows_of(sheet):
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def expect(rows, step):
    """Sheets of at most step rows, each with the titles first."""
    return [[["Id", "Name"]] + [[i, "name %d" % i] for i in range(at, min(at + step, rows + 1))]
            for at in range(1, rows + 1, step)]


def split_by_rows(path):
    for rows in (99, 100, 297, 298):
        make(path, rows, 100, 1 << 40, 1 << 40)
        book = openpyxl.load_workbook(path)
        sheets = [rows_of(book[name]) for name in book.sheetnames]
        check("sheets of %d rows" % rows, max(1, (rows + 98) // 99), len(sheets))
        check("content of %d rows" % rows, expect(rows, 99), sheets)
        check("names", len(set(book.sheetnames)), len(book.sheetnames))


def split_by_bytes(path):
    """Where the bytes of a sheet run out before its rows: nothing is lost or doubled between sheets."""
    make(path, 2000, SHEET_MAX, 80000, 1 << 40)
    book = openpyxl.load_workbook(path)
    sheets = [rows_of(book[name]) for name in book.sheetnames]
    check("several sheets", True, len(sheets) > 1)
    check("titles", {("Id", "Name")}, {tuple(rows[0]) for rows in sheets})
    check("all rows in order", [[i, "name %d" % i] for i in range(1, 2001)], [row for rows in sheets for row in rows[1:]])


def zip64(path):
    """The second and later members lie where 32 bits do not reach, as far as the archive says."""
    make(path, 250, 100, 1 << 40, 1000)
    data = open(path, "rb").read()
    end = data.rindex(b"PK\x05\x06")
    check("32 bits say: look further", (0xffff, 0xffffffff), struct.unpack("<H4xI", data[end + 10:end + 20]))
    check("locator", b"PK\x06\x07", data[end - 20:end - 16])
    entries = [m.start() for m in re.finditer(b"PK\x01\x02", data)]
    check("offsets", [0] + [0xffffffff] * (len(entries) - 1),
          [struct.unpack("<I", data[at + 42:at + 46])[0] for at in entries])
    with zipfile.ZipFile(path) as archive:
        check("sums of an archive of ZIP64", None, archive.testzip())
    book = openpyxl.load_workbook(path)
    check("sheets of ZIP64", expect(250, 99), [rows_of(book[name]) for name in book.sheetnames])


def limit_of_excel(path):
    """One row more than fits below the titles. Counted, not loaded: openpyxl would take minutes."""
    make(path, SHEET_MAX)
    with zipfile.ZipFile(path) as archive:
        counts, last = [], b""
        for name in sorted(n for n in archive.namelist() if "worksheets/" in n):
            with archive.open(name) as member:
                n, tail = 0, b""
                while True:
                    part = member.read(1 << 20)
                    n += (tail + part).count(b"<row ")
                    if not part:
                        break
                    tail, last = part[-4:], part[-300:] if len(part) > 300 else last + part
            counts.append(n)
    check("rows of the sheets", [SHEET_MAX, 2], counts)
    check("the last row", True, b"name %d<" % SHEET_MAX in last)


def main():
    with tempfile.TemporaryDirectory(prefix="joblog-sheets.") as place:
        path = place + "/book.xlsx"
        split_by_rows(path)
        split_by_bytes(path)
        zip64(path)
        limit_of_excel(path)
    print("all well")


main()
