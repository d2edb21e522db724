#!/usr/bin/python3
"""Exports as an attacker asks for them, through the command line. Whatever is sent is refused, or answered with exactly the
rows that it means among those of the caller: never a row of another owner, never a column that is not granted.
test_export_attacks.py DIRECTORY-OF-PROGRAMS"""
import csv
import io
import json
import sys

from export_fixture import Fixture, check

# Owners whose names are attacks, too: each has one row, and must get that one alone.
OWNERS = ["' OR '1'='1", "ann' --", "ann'; DROP TABLE app.people; --", "%", "_nn", "ANN", "an", "ann,bob", "\\", "$1", "ann\\'",
          "E'ann'", "(SELECT 'bob')", "null", "*", "ann "]
ROWS = ([(g, "name %d" % g, "ann") for g in range(3, 301, 3)] + [(1000, "the quick brown foxes jumped", "ann")] +
        [(2000 + i, "row of owner %d" % i, owner) for i, owner in enumerate(OWNERS)])
OTHERS = [(g, "BOBS-ROW name %d" % g, "bob") for g in range(1, 301, 3)] + [(g, "NOBODYS-ROW name %d" % g, None)
                                                                       for g in range(2, 301, 3)]
MARKS = (b"TOPSECRET", b"BOBS-ROW", b"NOBODYS-ROW")
PEOPLE = {"name": "people", "relation": "app.people", "owner_column": "boss", "order": {"column": "id"},
          "columns": [{"name": "id"}, {"name": "name", "sortable": False}],
          "filters": [{"field": "name", "operators": ["equals", "in", "contains", "prefix"]},
                      {"field": "id", "type": "integer", "operators": ["equals", "between", "at_least", "greater", "less"]},
                      {"field": "words", "operators": ["search"], "columns": ["name"], "full_text": "english"},
                      {"field": "search", "operators": ["search"], "columns": ["name"]}]}
# Columns to which other names equal "ann", too; each table has a row of ann's, one of bob's and one of ANN's.
EQUALS = {"ci": "citext", "bp": "char(10)", "nd": "text COLLATE app.any_case", "na": "name", "no": "app.names"}
TEXTS = ["'", "''", "\\", "\\'", "'; DROP TABLE app.people; --", "' OR '1'='1", "x' OR true --", "%' OR 1=1 --",
         "1; SELECT secret FROM app.people", "$1", "$$x$$", "E'\\\\'", "\\x27", "U&'\\0027'", "/*", "*/", "--", "%", "_",
         "') UNION SELECT secret, secret FROM app.people --", "COPY x TO PROGRAM 'id'", "\u02bc", "\uff07", "\x01",
         "a:b & !c | (d", "\"", "secret", "secret:*", "id, secret", "1 OR 1=1", "(SELECT secret FROM app.people LIMIT 1)",
         "name 3", "BOBS-ROW", "NAME 29", "fox", "ROW -name", "bob"]
NAMES = ["secret", "id\"", "id\", \"secret", "*", "id; DROP TABLE app.people", "people.secret", "ctid", "xmin", "ID", "boss",
         "id desc", "1", "id::text", "row_to_json(people)", "name\"::text||secret||\"", "tableoid", "app.people", "id ", "name,boss"]
OF_ANN = [(i, name) for i, name, boss in ROWS if boss == "ann"]


def literal(value):
    return "NULL" if value is None else "'%s'" % value.replace("'", "''")


def schema():
    rows = ", ".join("(%d, %s, %s, 'TOPSECRET %d')" % (i, literal(name), literal(boss), i) for i, name, boss in ROWS + OTHERS)
    return ("CREATE SCHEMA app; CREATE TABLE app.people (id int, name text, boss text, secret text);"
            "SET standard_conforming_strings = on; INSERT INTO app.people VALUES %s;" % rows +
            "CREATE EXTENSION citext; CREATE DOMAIN app.names AS citext;"
            "CREATE COLLATION app.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);" +
            "".join("CREATE TABLE app.%s (id int, owner %s); INSERT INTO app.%s VALUES (1, 'ann'), (2, 'bob'), (3, 'ANN'),"
                    " (4, repeat('l', %d));" % (name, kind, name, 10 if name == "bp" else 63) for name, kind in EQUALS.items()))


def rows_of(out, delimiter=","):
    return [(int(row[0]), row[1]) for row in list(csv.reader(io.StringIO(out.decode(), newline=""), delimiter=delimiter))[1:]]


def meant(op, value):
    """What PostgreSQL's operators mean, said once more."""
    tests = {"equals": lambda name: name == value, "prefix": lambda name: name.startswith(value),
             "contains": lambda name: value.lower() in name.lower()}
    return [row for row in OF_ANN if tests[op](row[1])]


class Attack:
    def __init__(self, args, want, actor="ann", delimiter=","):
        """want: the rows that come; None: some of the caller's, or a refusal; "refused": nothing but that."""
        self.args, self.want, self.actor, self.delimiter = args, want, actor, delimiter

    def start(self, fx):
        self.child = fx.popen("export", "start", "people", "--actor", self.actor, "--output", "-", *self.args)

    def judge(self):
        out, err = self.child.communicate()
        what = "attack %s of %s" % (self.args, self.actor)
        for mark in MARKS:
            # The words of a refusal may name what was sent, and nothing else.
            if mark in out or (mark in err and mark.decode() not in "".join(self.args)):
                sys.exit("%s got %.200r %.200r" % (what, out, err))
        if self.child.returncode in (2, 5):
            check(what + " is refused without rows: " + err.decode(), True, out == b"" and self.want in (None, "refused"))
            return False
        check(what + ": " + err.decode(), 0, self.child.returncode)
        rows = rows_of(out, self.delimiter)
        if self.want is None:
            check(what + " gets rows of its own alone", True, set(rows) <= set(OF_ANN))
        else:
            check(what, self.want, rows)
        return True


def filters():
    """Texts that are sent as values: what they are as texts, they find. A number is refused where none is sent."""
    for text in TEXTS:
        yield Attack(["-f", "name:equals=" + text], meant("equals", text))
        yield Attack(["-f", "name:prefix=" + text], meant("prefix", text))
        yield Attack(["-f", "name:contains=" + text], meant("contains", text))
        yield Attack(["-f", "search=" + text], meant("contains", text))
        yield Attack(["-f", "name:in=" + text], None)  # the command line makes several of a text with commas
        yield Attack(["-f", "words=" + text], None)
        yield Attack(["-f", "id=" + text], "refused")
        yield Attack(["-f", "secret=" + text], "refused")
        yield Attack(["-f", "boss=" + text], "refused")
        yield Attack(["-f", "%s=x" % (text.replace("=", "").replace(":", "") or "x")], "refused")
    yield Attack(["-f", "id:greater=0"], OF_ANN)
    yield Attack(["-f", "id:between=1,100"], [row for row in OF_ANN if row[0] <= 100])


def names():
    for name in NAMES:
        yield Attack(["--columns", name], "refused")
        yield Attack(["--order", name], "refused" if name != "id desc" else None)
    for text in TEXTS[:8]:
        yield Attack(["--null", text], None)
        yield Attack(["--delimiter", text[:1]], "refused")
        yield Attack(["--name", "../" + text], "refused")
    yield Attack(["--delimiter", ";"], OF_ANN, delimiter=";")
    yield Attack(["--order", "-id"], OF_ANN[::-1])
    yield Attack(["--order", "name"], "refused")  # a column of the type, which says that it is not sortable


def owners():
    for i, owner in enumerate(OWNERS):
        yield Attack([], [(2000 + i, "row of owner %d" % i)], actor=owner)
    yield Attack([], [], actor="carol")
    yield Attack([], OF_ANN)
    yield Attack(["-f", "name=row of owner 0"], [])


def equal_names(fx):
    """Owners are other owners when a byte differs, whatever the column takes for equal."""
    for table in EQUALS:
        cases = {"ann": [b"1"], "ANN": [b"3"], "Ann": [], "ann ": [], "l" * 64: []}
        children = [fx.popen("export", "start", table, "--actor", actor, "--output", "-") for actor in cases]
        for actor, child in zip(cases, children):
            out, err = child.communicate()
            check("%s as %r: %s" % (table, actor, err.decode()), (0, [b"id"] + cases[actor]), (child.returncode, out.split()))


def attempts(fx, attacks):
    attacks, answered = list(attacks), 0
    for i in range(0, len(attacks), 8):
        for attack in attacks[i:i + 8]:
            attack.start(fx)
        answered += sum([attack.judge() for attack in attacks[i:i + 8]])
    return answered, len(attacks)


def other_formats(fx):
    """The same filter in front of all of them."""
    for form in ("jsonl", "xlsx"):
        done = fx.joblog("export", "start", "people", "--actor", "ann", "--format", form, "--output", "-",
                         "-f", "name:prefix=' OR '1'='1")
        check("no row in " + form, 0, done.returncode)
        if form == "jsonl":
            check("lines", b"", done.stdout)
    lines = fx.joblog("export", "start", "people", "--actor", "ann", "--format", "jsonl", "--output", "-").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    check("columns of lines", {("id", "name")}, {tuple(row) for row in rows})
    check("rows of lines", OF_ANN, [(row["id"], row["name"]) for row in rows])


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=4")
    with fx:
        fx.sql(schema())
        fx.write_types([PEOPLE] + [{"name": name, "relation": "app." + name, "owner_column": "owner", "columns": [{"name": "id"}],
                                    "order": {"column": "id"}} for name in EQUALS])
        fx.reload("export types loaded types=%d" % (2 + len(EQUALS)))
        before = fx.sql("SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM app.people p;")
        for kind in (filters, names, owners):
            answered, n = attempts(fx, kind())
            check("some of %s are answered" % kind.__name__, True, 0 < answered <= n)
        equal_names(fx)
        other_formats(fx)
        check("the table is as it was", before, fx.sql("SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM app.people p;"))


main()
