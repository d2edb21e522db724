"""What must be so after a campaign: the database's record held against what dispatchers and workers wrote down.

An *attempt* is named by its lease token in what the stock worker writes down, by its number in what libjoblog's does (a
number that was given back is used again). Times are of the machine's monotonic clock, for all processes.
"""
import collections
import json

COMPLETED, FAILED, CANCELLED = 3, 4, 5
FINAL = {COMPLETED, FAILED, CANCELLED}
LOST_CODE = 9  # FAILED_PRECONDITION
# joblog.attempt.outcome
OUTCOME = {"fail": 2, "cancelled": 3, "release": 5, "snooze": 5}
RELEASED = 5


def read_records(paths, since=None):
    """In the order of time. since: bytes of each file, in the middle of a line perhaps, that are left out."""
    records = []
    for path, skipped in zip(paths, since or [0] * len(paths)):
        with open(path, "rb") as file:
            if skipped:
                file.seek(skipped - 1)
                file.readline()
            records += [json.loads(line) for line in file if line.endswith(b"\n")]
    return sorted(records, key=lambda r: r["t"])


class Database:
    """The whole record, read once everything has come to rest."""

    def __init__(self, cluster):
        rows = cluster.sql("SELECT n.id, n.payload->>'n', n.status, n.attempt, n.attempts_left, n.max_attempts, n.payload->>"
                           "'token', n.result::text, coalesce(t.last_token, 0) FROM joblog.job_now n"
                           " LEFT JOIN joblog.job_state t ON t.id = n.id")
        self.jobs = {int(r[0]): {"n": int(r[1]), "status": int(r[2]), "attempt": int(r[3]), "left": int(r[4]),
                                 "max": int(r[5]), "patch": r[6], "result": json.loads(r[7]) if r[7] else None,
                                 "token": int(r[8])} for r in rows}
        self.attempts = collections.defaultdict(list)  # job: outcomes of those that did not complete
        self.numbers = collections.defaultdict(list)
        for job, number, outcome in cluster.sql("SELECT job_id, number, outcome FROM joblog.attempt ORDER BY 1, 2"):
            self.attempts[int(job)].append(int(outcome))
            self.numbers[int(job)].append(int(number))
        self.retries = collections.defaultdict(list)  # job: request ids
        for job, request_id in cluster.sql("SELECT job_id, request_id FROM joblog.transition WHERE from_status IN (4, 5)"
                                           " AND to_status = 1"):
            self.retries[int(job)].append(request_id)
        self.bad_transitions = cluster.sql(
            "SELECT job_id, from_status, to_status FROM joblog.transition t WHERE from_status <> 0 AND NOT EXISTS (SELECT"
            " FROM joblog.transition_rule r WHERE (r.from_status, r.to_status) = (t.from_status, t.to_status))")
        self.logged = {(int(job), text) for job, text in cluster.sql("SELECT job_id, text FROM joblog.job_log")}
        self.log_gaps = cluster.sql("SELECT job_id, count(*), max(sequence) FROM joblog.job_log GROUP BY 1"
                                    " HAVING count(*) <> max(sequence) OR min(sequence) <> 1")
        self.left_over = {table: int(cluster.sql(f"SELECT count(*) FROM joblog.{table}")[0][0])
                          for table in ("lease", "waiting", "scheduled")}
        self.tally = dict((int(s), int(n)) for s, n in cluster.sql(
            "SELECT status, sum(n) FROM joblog.tally_now GROUP BY 1 HAVING sum(n) <> 0"))


class Verdict:
    def __init__(self, records, database, acked, retried, replicas, lease_s):
        self.records, self.db, self.acked, self.retried = records, database, dict(acked), retried
        self.replicas, self.lease_s = replicas, lease_s
        self.wrong = []
        self.counts = collections.Counter()
        self.leased = collections.defaultdict(dict)  # job: {token: time of the lease}
        self.accepted = collections.defaultdict(dict)  # job: {token: {kind}} of ends
        self.patched = set()  # tokens whose patch was taken
        self.sent = {}  # (worker, write id, token): time of the first try

    def say(self, job, text):
        self.wrong.append(f"job {job}: {text}; {self.db.jobs.get(job)} attempts {self.db.attempts.get(job)}")

    def check(self):
        """What is wrong, one line each."""
        self.read_writes()
        self.check_acknowledged()
        self.check_retries()
        self.check_ends()
        self.check_attempts()
        self.check_library()
        if self.db.bad_transitions:
            self.wrong.append(f"forbidden transitions: {self.db.bad_transitions[:5]}")
        if self.db.log_gaps:
            self.wrong.append(f"lines of logs are missing: {self.db.log_gaps[:5]}")
        if any(self.db.left_over.values()):
            self.wrong.append(f"rows left over: {self.db.left_over}")
        statuses = collections.Counter(job["status"] for job in self.db.jobs.values())
        if self.db.tally != dict(statuses):
            self.wrong.append(f"counters say {self.db.tally}, there are {dict(statuses)}")
        self.counts.update({f"jobs with status {s}": n for s, n in statuses.items()})
        return self.wrong

    def check_acknowledged(self):
        seen = collections.Counter(job["n"] for job in self.db.jobs.values())
        for number, times in seen.items():
            if times != 1:
                self.wrong.append(f"dispatch {number} made {times} jobs")
        for number, job in self.acked.items():
            if self.db.jobs.get(job, {}).get("n") != number:
                self.wrong.append(f"job {job} of dispatch {number} was acknowledged and is not there")
        for job, row in self.db.jobs.items():
            if row["status"] not in FINAL:
                self.say(job, "is not final")

    def check_retries(self):
        for request_id, job in self.retried.items():
            if self.db.retries[job].count(request_id) != 1:
                self.say(job, f"retry {request_id} was acknowledged, the record has {self.db.retries[job]}")
        for job, request_ids in self.db.retries.items():
            if len(set(request_ids)) != len(request_ids):
                self.say(job, f"a retry was done twice: {request_ids}")

    # ---- what the stock worker, and who runs work of its own, wrote down ----

    def read_writes(self):
        for r in self.records:
            if r["e"] == "lease":
                self.leased[r["job"]].setdefault(r["token"], r["t"])
            elif r["e"] == "write":
                self.sent.setdefault((r["worker"], r["id"], r["token"]), r["t"])
            elif r["e"] == "answer":
                self.read_answer(r)
            elif r["e"] == "acked":
                self.acked[r["n"]] = r["job"]
                self.counts["started by themselves"] += 1
            elif r["e"] == "unexpected":
                self.wrong.append(f"{r['worker']}: {r['what']}")

    def read_answer(self, r):
        kind = r["kind"]
        self.counts[f"{kind} {'accepted' if r['ok'] else 'refused'}"] += 1
        if not r["ok"]:
            if r["code"] != LOST_CODE:
                self.say(r["job"], f"a {kind} was refused with code {r['code']}: {r['message']}")
            return
        if kind == "log":
            if (r["job"], str(r["token"])) not in self.db.logged:
                self.say(r["job"], f"a line of attempt {r['token']} was accepted and is not in its log")
            self.check_fence(r)
        elif kind == "progress":
            self.patched.add(r["token"])
            self.check_fence(r)
        else:
            self.accepted[r["job"]].setdefault(r["token"], set()).add(kind)

    def check_fence(self, r):
        """Nothing is taken that was sent after another attempt had begun. With progress another replica than that of the new attempt
        finds out within a lease time-out; nothing of what it took is written (check_ends)."""
        sent = self.sent[r["worker"], r["id"], r["token"]]
        own = self.leased[r["job"]].get(r["token"], 0)
        late = 0 if self.replicas == 1 or r["kind"] != "progress" else 2 * self.lease_s
        later = [t for token, t in self.leased[r["job"]].items() if token != r["token"] and own < t < sent - late]
        if later:
            self.say(r["job"], f"{r['kind']} of attempt {r['token']} was taken {sent - max(later):.3f} s after another began")

    def check_ends(self):
        for job, tokens in self.accepted.items():
            row = self.db.jobs.get(job)
            outcomes = collections.Counter(self.db.attempts[job])
            if not row:
                self.say(job, "ends were accepted and it is not there")
                continue
            for token, kinds in tokens.items():
                if len(kinds) > 1:
                    self.say(job, f"attempt {token} ended by {kinds}")
            complete = [token for token, kinds in tokens.items() if "complete" in kinds]
            self.check_completed(job, row, complete)
            for outcome in (2, 3, 5):
                n = sum(1 for kinds in tokens.values() if any(OUTCOME.get(k) == outcome for k in kinds))
                # An end of a job that was to be cancelled is one, whatever the worker called it.
                if n > outcomes[outcome]:
                    self.say(job, f"{n} ends with outcome {outcome} were accepted")

    def check_completed(self, job, row, complete):
        if len(complete) > 1:
            self.say(job, f"completions of the attempts {complete} were accepted")
        for token in complete:
            if (row["status"], row["token"], row["result"]) != (COMPLETED, token, {"token": str(token)}):
                self.say(job, f"the completion of attempt {token} was accepted")
            if token in self.patched and row["patch"] != str(token):
                self.say(job, f"the payload of the completed attempt {token} was written over")

    def check_attempts(self):
        for job, row in self.db.jobs.items():
            outcomes = self.db.attempts[job]
            counted = sum(1 for outcome in outcomes if outcome != RELEASED) + (row["status"] == COMPLETED)
            if counted > row["max"] * (1 + len(self.db.retries[job])):  # a retry gives them anew
                self.say(job, f"{counted} attempts of {row['max']} were made, after {len(self.db.retries[job])} retries")
            if row["status"] == FAILED and row["left"] > 0:
                self.say(job, "failed with attempts left")
            numbers = self.db.numbers[job] + [row["attempt"]] * (row["status"] == COMPLETED)
            if numbers != list(range(1, len(numbers) + 1)):
                self.say(job, f"its attempts have the numbers {numbers}")
            if row["status"] == COMPLETED and (row["result"] is None or not self.was_run(job, row)):
                self.say(job, "completed, but nobody ran that attempt")

    def was_run(self, job, row):
        token = row["result"].get("token")
        if token:
            return int(token) == row["token"] and row["token"] in self.leased[job]
        return any(r["e"] == "start" and r["job"] == job and (r["worker"], r["attempt"]) ==
                   (row["result"]["worker"], row["result"]["attempt"]) for r in self.of_library(job))

    # ---- what libjoblog's worker wrote down ----

    def of_library(self, job):
        if not hasattr(self, "by_job"):
            self.by_job = collections.defaultdict(list)
            for r in self.records:
                if r["e"] in ("start", "ended"):
                    self.by_job[r["job"]].append(r)
        return self.by_job[job]

    def check_library(self):
        for job, row in self.db.jobs.items():
            records = self.of_library(job)
            self.counts["runs by libjoblog"] += sum(1 for r in records if r["e"] == "start")
            done = {(r["worker"], r["attempt"]) for r in records if r["e"] == "ended" and r["status"] == COMPLETED}
            self.counts["ends by libjoblog"] += len(done)
            for worker, attempt in done:
                if (row["status"], row["result"]) != (COMPLETED, {"worker": worker, "attempt": attempt}):
                    self.say(job, f"the completion of attempt {attempt} by {worker} was accepted")
            both = [token for token, kinds in self.accepted[job].items() if "complete" in kinds]
            if done and both:
                self.say(job, f"completions by {done} and of {both} were accepted")
