#!/usr/bin/python3
"""Exports as an attacker asks for them, through the command line. test_export_attacks.py DIRECTORY-OF-PROGRAMS"""
import sys

from export_fixture import Fixture

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.people (id int, name text, boss text, secret text);
INSERT INTO app.people SELECT g, 'name ' || g, CASE g % 3 WHEN 0 THEN 'ann' WHEN 1 THEN 'bob' END, 'TOPSECRET'
  FROM generate_series(1, 300) g;
INSERT INTO app.people VALUES (1000, 'the quick brown foxes jumped', 'ann', 'TOPSECRET');
"""
PEOPLE = {"name": "people", "relation": "app.people", "owner_column": "boss", "order": {"column": "id"},
          "columns": [{"name": "id"}, {"name": "name", "sortable": False}],
          "filters": [{"field": "name", "operators": ["equals", "in", "contains", "prefix"]},
                      {"field": "id", "type": "integer", "operators": ["equals", "between", "at_least", "greater", "less"]},
                      {"field": "words", "operators": ["search"], "columns": ["name"], "full_text": "english"},
                      {"field": "search", "operators": ["search"], "columns": ["name"]}]}


def check(what, want, got):
    if want != got:
        sys.exit("%s\n want %.300r\n got  %.300r" % (what, want, got))


def rows_of(data):
    return data.decode().split("\r\n")[1:-1]


def attacks(fx):
    """Whatever is sent: refused, or an answer with nothing but what the type grants."""
    texts = ["'", "''", "\\", "\\'", "'; DROP TABLE app.people; --", "' OR '1'='1", "x' OR true --", "%' OR 1=1 --",
             "1; SELECT secret FROM app.people", "$1", "$$x$$", "E'\\\\'", "\\x27", "U&'\\0027'", "/*", "*/", "--", "%", "_",
             "') UNION SELECT secret, secret FROM app.people --", "COPY x TO PROGRAM 'id'", "\u02bc", "\uff07", "\x01",
             "a:b & !c | (d", "\"", "secret", "secret:*", "id, secret", "1 OR 1=1", "(SELECT secret FROM app.people LIMIT 1)"]
    names = ["secret", "id\"", "id\", \"secret", "*", "id; DROP TABLE app.people", "people.secret", "ctid", "xmin", "ID", "",
             "boss", "id desc", "1", "id::text", "row_to_json(people)", "name\"::text||secret||\""]
    tried = [["-f", "%s%s=%s" % (field, op, text)] for text in texts
             for field, op in (("name", ":equals"), ("name", ":in"), ("name", ":contains"), ("name", ":prefix"), ("id", ""),
                               ("words", ""), ("search", ""), ("secret", ""), (text.replace("=", "").replace(":", "") or "x",
                                                                               ""))]
    tried += [["--columns", name] for name in names if name] + [["--order", name] for name in names if name]
    tried += [["--null", text] for text in texts[:8]] + [["--delimiter", text[:1] or "x"] for text in texts[:8]]
    tried += [["--name", "../" + text] for text in texts[:8]]
    children, granted = [], 0
    for args in tried:
        children.append((args, fx.popen("export", "start", "people", "--actor", "ann", "--output", "-", *args)))
        if len(children) < 8 and args is not tried[-1]:
            continue
        for args, child in children:
            out, err = child.communicate()
            if child.returncode not in (0, 2, 5):
                sys.exit("attack %s ended with %d: %s" % (args, child.returncode, err.decode()))
            if b"TOPSECRET" in out or b"bob" in out or len(rows_of(out) if b"\r\n" in out else []) > 101:
                sys.exit("attack %s got %.200r" % (args, out))
            granted += child.returncode == 0
        children = []
    check("something was answered", True, granted > 50)
    check("the table is there", "301", fx.sql("SELECT count(*) FROM app.people;").strip())


def main():
    fx = Fixture(sys.argv[1], "--export-owner-running=0", "--export-workers=4")
    try:
        fx.sql(SCHEMA)
        fx.write_types([PEOPLE])
        fx.reload("export types loaded types=2")
        attacks(fx)
    except SystemExit:
        print(open(fx.dir + "/log").read()[-3000:], file=sys.stderr)
        raise
    finally:
        code = fx.stop()
    check("exit of joblogd", 0, code)
    print("all well")


main()
