"""The system outside the server, as outside.ts has it: does what it is asked to do once for each idempotency key."""

import os
import uuid
from pathlib import Path
from urllib.parse import quote


class Outside:
    def __init__(self, folder):
        self._folder = Path(folder)

    def do(self, key):
        """Does something, unless it was done before under this key. Returns the receipt of the only time that it was done."""
        path = self._folder / quote(key, safe="")
        draft = self._folder / f".{uuid.uuid4()}"
        draft.write_text(str(uuid.uuid4()))
        try:
            # A link comes to be whole or not at all, and only where nothing is.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_text()
