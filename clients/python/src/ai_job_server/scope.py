"""For how long a handler works: as its lease lasts, and its run goes on."""

from __future__ import annotations

from .leases import Lease
from .signals import Signal


class RunScope:
    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        #: Aborted when the handler must stop; its reason says why.
        self.signal = Signal()
        lease.signal.call_on_abort(lambda: self.end(lease.signal.reason or RuntimeError("The lease is over.")))

    def throw_if_over(self) -> None:
        """To be called before anything begins. Raises the reason of the signal, where nothing may."""
        self._lease.throw_if_over()
        self.signal.throw_if_aborted()

    def end(self, reason: BaseException) -> None:
        """Ends the handler's work; reports may still be made under the lease."""
        self.signal.abort(reason)
