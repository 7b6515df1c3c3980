"""What the keeper's process does (keeper_process.py): it keeps leases as its worker says, by lines of JSON, until that ends."""

from __future__ import annotations

import json
import os
import signal as signals_of_process
import sys
import threading
import time

from .connection import Connection
from .deadline import Deadline
from .errors import Stopped
from .renewer import LeaseRenewer, listen
from .keeper_process import shared
from .signals import Signal


def end_with(parent: int) -> None:
    """Ends with the worker, also where another process still has the other end of the pipe."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    # A terminal, and systemd, send these to the worker's processes all at once: leases are kept until the worker has given them back.
    for name in (signals_of_process.SIGINT, signals_of_process.SIGTERM):
        signals_of_process.signal(name, signals_of_process.SIG_IGN)
    parent, url, key, workspace_id, worker_id, lease_seconds, path = json.loads(sys.stdin.readline())
    connection = Connection(url, key, workspace_id)
    memory = shared(path)
    signal = Signal()

    lock = threading.Lock()

    def tell(*words: str) -> None:
        with lock:
            print(json.dumps(words), flush=True)

    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    renewer = LeaseRenewer(connection, lease_seconds, lambda *stop: tell("stop", *stop))
    threading.Thread(target=renewer.run, daemon=True).start()
    threading.Thread(target=listen, args=(connection, worker_id, renewer, signal), daemon=True).start()
    # Ends with the worker, whose end closes the pipe.
    for line in sys.stdin:
        what, run_id, *more = json.loads(line)
        if what == "hold":
            token, sent_at, at = more
            renewer.hold(run_id, token, sent_at, Deadline(memory, at))
        elif what == "let_go":
            renewer.let_go(run_id)
            tell("let_go", run_id)
        else:
            renewer.progress(run_id, more[0])
    signal.abort(Stopped("STOP_LEASE_LOST", "The worker has ended."))


if __name__ == "__main__":
    main()
