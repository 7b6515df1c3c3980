"""The keeper of leases as a process of its own, for handlers that hold the interpreter's lock for long."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from typing import Any, Callable, cast

from .connection import Connection
from .deadline import Memory

BYTES_PER_LEASE = 16


class KeeperProcess:
    """The process, as its worker sees it. They speak in lines of JSON, and share the deadlines by a file in memory."""

    def __init__(
        self,
        connection: Connection,
        worker_id: str,
        lease_seconds: int,
        places: int,
        on_stop: Callable[[str, str, str], None],
        on_let_go: Callable[[str], None],
        on_broken: Callable[[], None],
    ) -> None:
        self._is_closed = False
        self._file = tempfile.NamedTemporaryFile(prefix="ai-job-server-")
        self._file.truncate(BYTES_PER_LEASE * places)
        self.memory = shared(self._file.name)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "ai_job_server.keeper_main"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
        self._lock = threading.Lock()
        # The key goes over the pipe: a command line is everybody's to read.
        self.send(os.getpid(), connection.url, connection.key, connection.workspace_id, worker_id, lease_seconds, self._file.name)
        threading.Thread(target=self._read, args=(on_stop, on_let_go, on_broken), name="ai-job-server keeper", daemon=True).start()

    def send(self, *words: Any) -> None:
        with self._lock:
            assert self._child.stdin
            try:
                self._child.stdin.write(json.dumps(words) + "\n")
                self._child.stdin.flush()
            except OSError:
                # It is gone, of which `on_broken` tells.
                pass

    def close(self) -> None:
        self._is_closed = True
        assert self._child.stdin
        try:
            self._child.stdin.close()
        except OSError:
            pass
        self._child.wait()
        self._file.close()

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def _read(
        self, on_stop: Callable[[str, str, str], None], on_let_go: Callable[[str], None], on_broken: Callable[[], None]
    ) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            what, *words = json.loads(line)
            if what == "stop":
                on_stop(*words)
            else:
                on_let_go(*words)
        if not self._is_closed:
            on_broken()


def shared(path: str) -> Memory:
    with open(path, "r+b") as file:
        return cast(Memory, memoryview(mmap.mmap(file.fileno(), 0)).cast("d"))
