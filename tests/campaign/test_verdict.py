#!/usr/bin/python3
"""The campaign's verdict notices what it is there for: a good record passes, and each way of spoiling it does not."""
import collections
import copy
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verdict  # noqa: E402

LEASE_S = 1.5


class GoodDatabase:
    """Job 1 completed by the stock worker in its second attempt, the first was lost; job 2 by libjoblog's worker; job 3
    failed, was retried and failed again; job 4 was started and completed by who ran it."""

    def __init__(self):
        row = {"left": 0, "max": 2, "patch": "", "result": None, "token": 0}
        self.jobs = {1: dict(row, n=11, status=3, attempt=2, patch="102", result={"token": "102"}, token=102),
                     2: dict(row, n=12, status=3, attempt=1, result={"worker": "lib", "attempt": 1}, token=201),
                     3: dict(row, n=13, status=4, attempt=2, max=1, token=302),
                     4: dict(row, n=14, status=3, attempt=1, max=1, result={"token": "401"}, token=401)}
        self.attempts = collections.defaultdict(list, {1: [4], 3: [2, 2]})
        self.numbers = collections.defaultdict(list, {1: [1], 3: [1, 2]})
        self.retries = collections.defaultdict(list, {3: ["again"]})
        self.bad_transitions, self.log_gaps = [], []
        self.logged = {(1, "102")}
        self.left_over = {"lease": 0}
        self.tally = {3: 3, 4: 1}


def good_records():
    def of(t, event, job, token, **more):
        return {"t": t, "worker": "raw", "e": event, "job": job, "token": token, "attempt": 1, **more}

    def write(t, job, token, number, kind, ok=True):
        return [of(t, "write", job, token, id=number, kind=kind),
                of(t + 0.1, "answer", job, token, id=number, kind=kind, ok=ok, code=0 if ok else 9, message="")]

    return [of(1, "lease", 1, 101), *write(1.1, 1, 101, 1, "progress"),
            of(5, "lease", 1, 102), *write(5.1, 1, 102, 2, "progress"), *write(6, 1, 101, 3, "progress", ok=False),
            *write(6.5, 1, 102, 7, "log"), *write(6.8, 1, 101, 8, "log", ok=False),
            *write(7, 1, 102, 4, "complete"), *write(8, 1, 101, 5, "complete", ok=False),
            {"t": 1, "worker": "lib", "e": "start", "job": 2, "attempt": 1, "status": 0},
            {"t": 2, "worker": "lib", "e": "ended", "job": 2, "attempt": 1, "status": 3},
            of(1, "lease", 3, 301), *write(1.1, 3, 301, 6, "fail"), of(2, "lease", 3, 302), *write(2.1, 3, 302, 9, "fail"),
            {"t": 1, "worker": "own", "e": "acked", "job": 4, "n": 14}, of(1, "lease", 4, 401),
            *write(1.1, 4, 401, 10, "complete")]


def judge(spoil=None, replicas=1):
    world = {"records": good_records(), "db": GoodDatabase(), "acked": {11: 1, 12: 2, 13: 3},
             "retried": {"again": 3}}
    if spoil:
        spoil(world)
    return verdict.Verdict(copy.deepcopy(world["records"]), world["db"], world["acked"], world["retried"],
                           replicas, LEASE_S).check()


def accept(number):
    """The answer to this write says accepted."""
    def spoil(world):
        answer = next(r for r in world["records"] if r["e"] == "answer" and r["id"] == number)
        answer.update(ok=True, code=0)
    return spoil


def change(job, **fields):
    return lambda world: world["db"].jobs[job].update(fields)


def without(event, job):
    def spoil(world):
        world["records"] = [r for r in world["records"] if (r["e"], r["job"]) != (event, job)]
    return spoil


def lib_completes_too(world):
    world["records"].append({"t": 9, "worker": "lib", "e": "ended", "job": 1, "attempt": 2, "status": 3})


# What is done to the record; what the verdict must say.
SPOILED = [
    ("acknowledged and is not there", lambda w: w["acked"].update({15: 5})),
    ("of dispatch 14 was acknowledged and is not there", change(4, n=15)),
    ("retry again was acknowledged", lambda w: w["db"].retries.clear()),
    ("retry more was acknowledged", lambda w: w["retried"].update(more=3)),
    ("a retry was done twice", lambda w: w["db"].retries[3].append("again")),
    ("2 attempts of 1 were made", lambda w: (w["retried"].clear(), w["db"].retries.clear())),
    ("own: StartJob", lambda w: w["records"].append({"t": 1, "worker": "own", "e": "unexpected", "what": "StartJob: INTERNAL"})),
    ("the completion of attempt 401 was accepted", change(4, token=402)),
    ("made 2 jobs", change(2, n=11)),
    ("is not final", change(3, status=2)),
    ("rows left over", lambda w: w["db"].left_over.update(lease=1)),
    ("forbidden transitions", lambda w: w["db"].bad_transitions.append(["1", "3", "2"])),
    ("counters say", lambda w: w["db"].tally.update({3: 9})),
    ("was taken 1.000 s after another began", accept(3)),
    ("is not in its log", lambda w: w["db"].logged.clear()),
    ("lines of logs are missing", lambda w: w["db"].log_gaps.append(["1", "1", "2"])),
    ("log of attempt 101 was taken 1.800 s after another began", accept(8)),
    ("completions of the attempts", accept(5)),
    ("the completion of attempt 102 was accepted", change(1, token=101)),
    ("the completion of attempt 102 was accepted", change(1, status=5)),
    ("was written over", change(1, patch="101")),
    ("attempts of 1 were made", change(1, max=1)),
    ("failed with attempts left", change(3, left=1)),
    ("attempts have the numbers", lambda w: w["db"].numbers[1].append(2)),
    ("2 ends with outcome 2 were accepted", lambda w: w["db"].attempts.update({3: [5]})),
    ("nobody ran that attempt", without("start", 2)),
    ("completion of attempt 1 by lib was accepted", change(2, result={"worker": "other", "attempt": 1})),
    ("and of [102] were accepted", lib_completes_too),
    ("was refused with code 13", lambda w: w["records"][7].update(code=13)),
]


def main():
    assert judge() == [], judge()
    for words, spoil in SPOILED:
        said = judge(spoil)
        assert any(words in line for line in said), (words, said)
    # Another replica finds out within a lease time-out; afterwards it must refuse.
    assert not any("was taken" in line for line in judge(accept(3), replicas=2))
    print(f"{len(SPOILED)} ways of spoiling a record are noticed")


if __name__ == "__main__":
    main()
