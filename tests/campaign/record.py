"""What a worker of the campaign writes down: a line of JSON for each event, at once, so that SIGKILL loses none."""
import json
import os
import time


class Record:
    def __init__(self, path, name):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.name = name

    def __call__(self, event, lease=None, **fields):
        """lease: anything with a job and a lease_token."""
        if lease:
            fields.update(job=lease.job.id, token=lease.lease_token, attempt=lease.job.attempt)
        line = json.dumps({"t": time.monotonic(), "worker": self.name, "e": event, **fields})
        os.write(self.file, (line + "\n").encode())
