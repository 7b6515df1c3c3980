"""What a run puts out while it works, for whoever watches. It is no record: what counts are the outputs."""

from __future__ import annotations

import threading
from typing import Mapping

from .connection import Connection, success_of
from .errors import JobServerError
from .leases import Lease
from .operations import APPEND_OUTPUT
from .retry import until_answered

#: How long words are gathered before they are sent: each call costs the server a transaction.
GATHER_SECONDS = 0.15
#: After how long without more the last word is sent, too.
QUIET_SECONDS = 1.0
#: A word is no longer than so many characters; scripts without spaces are cut anywhere.
MAX_WORD = 200
#: A chunk has at most 16 KiB, and a character at most four bytes.
PIECE = 4000
MAX_CHUNKS = 60


class Output:
    def __init__(self, connection: Connection, proof: Mapping[str, str], lease: Lease) -> None:
        self._connection = connection
        self._proof = proof
        self._lease = lease
        self._waiting = ""
        self._next_sequence = 1
        self._timer: threading.Timer | None = None
        self._quiet: threading.Timer | None = None
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        # One call at a time, so that no sequence is missing.
        self._sending = threading.Lock()

    def write(self, text: str) -> None:
        """Puts out text; it is sent with what comes in the next tenth of a second, cut behind a word."""
        with self._lock:
            if self._quiet:
                self._quiet.cancel()
            self._waiting += text.encode("utf-8", "replace").decode().replace("\0", "")
            if self._timer is None:
                self._timer = threading.Timer(GATHER_SECONDS, self._send, args=(False,))
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """Sends what is left. What a call was refused by fails no job that is done: it is for people's eyes."""
        self.close()
        self._send(True)

    def close(self) -> None:
        """Sends nothing more by itself."""
        with self._lock:
            for timer in (self._timer, self._quiet):
                if timer:
                    timer.cancel()

    def _send(self, is_all: bool) -> None:
        with self._sending:
            with self._lock:
                self._timer = None
                # Half a word would be guarded as it stands.
                end = len(self._waiting) if is_all else end_of_last_word(self._waiting)
                text, self._waiting = self._waiting[:end], self._waiting[end:]
                if self._waiting:
                    # A word that nothing follows for a while is a whole one.
                    self._quiet = threading.Timer(QUIET_SECONDS, self._send, args=(True,))
                    self._quiet.daemon = True
                    self._quiet.start()
            if self._error:
                return
            pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
            try:
                for at in range(0, len(pieces), MAX_CHUNKS):
                    self._append(pieces[at : at + MAX_CHUNKS])
            except BaseException as error:
                # Nothing follows: there would be a gap.
                self._error = error

    def _append(self, texts: list[str]) -> None:
        self._lease.throw_if_over()
        chunks = [{"sequence": self._next_sequence + at, "text": text} for at, text in enumerate(texts)]
        variables = {"input": {**self._proof, "chunks": chunks}}
        try:
            appended = until_answered(
                lambda: success_of(self._connection.request(APPEND_OUTPUT, variables)["appendOutput"]), self._lease.signal
            )
        except JobServerError as error:
            raise self._lease.refuse(error) from error
        if appended["__typename"] == "AppendOutputPayload":
            self._next_sequence = appended["nextSequence"]
        else:
            self._lease.stop("STOP_POISONED", "A guard found something in what the run put out.", "JOB_POISONED")
        self._lease.throw_if_over()


def end_of_last_word(text: str) -> int:
    """Half a word would be guarded as it stands."""
    for at in range(len(text), max(len(text) - MAX_WORD, 0), -1):
        if text[at - 1].isspace():
            return at
    return 0 if len(text) <= MAX_WORD else len(text)
