"""A worker with the kit for Python, in a process of its own, which can be killed at any moment."""

import logging
import os
import random
import sys
import threading

from ai_job_server import Worker

from handle import handler_with
from watch import Journal, watch

env = os.environ
journal = Journal(env["WORKER_JOURNAL"])
watch(journal)


class ToJournal(logging.Handler):
    def emit(self, record):
        journal.write(type="logged", line=record.getMessage())
        if record.exc_info:
            journal.write(type="unexpected", message=self.format(record))


log = logging.getLogger("ai_job_server")
log.setLevel(logging.INFO)
log.addHandler(ToJournal())


def end_with_parent():
    """The process that started this worker has ended, so nothing else would end this one."""
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()

lease_seconds = int(env["LEASE_SECONDS"])
worker = Worker(env["SERVERS"], worker_id=env["WORKER_ID"], concurrency=6, lease_seconds=lease_seconds)
handler = handler_with(journal, env["OUTSIDE"], random.Random(env["WORKER_SEED"]), lease_seconds)
for kind in ("DOC_SUMMARIZE", "DOC_EDIT"):
    worker.handle(kind)(handler)
worker.run()
