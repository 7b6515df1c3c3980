"""Writes each request of the kit into the journal, and each answer: what watch-fetch.mjs does for TypeScript."""

import functools
import json
import os
import re
import time
import uuid

from ai_job_server import JobServerError
from ai_job_server.connection import Connection


def moment():
    return {"steadyMs": time.monotonic() * 1000, "wallMs": time.time() * 1000}


class Journal:
    """One line for each entry, written before the worker goes on. What was written survives a SIGKILL of the process."""

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        # If the process was killed while it wrote a line, that line is incomplete: the next entry must begin a new one.
        if size > 0 and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def write(self, **line):
        os.write(self._file, json.dumps(line).encode() + b"\n")


def watch(journal):
    """Has the journal get every request from now on. It changes nothing of what is sent and answered."""
    send = Connection.request

    @functools.wraps(send)
    def request(self, query, variables, *rest):
        exchange, operation = str(uuid.uuid4()), re.match(r"\w+ (\w+)", query)[1]
        journal.write(type="asked", exchange=exchange, operation=operation, variables=variables, at=moment())
        try:
            data = send(self, query, variables, *rest)
        except JobServerError as error:
            errors = [{"message": str(error), "extensions": {"code": error.code}}]
            journal.write(type="got", exchange=exchange, answer={"errors": errors}, at=moment())
            raise
        journal.write(type="got", exchange=exchange, answer={"data": data}, at=moment())
        return data

    Connection.request = request
