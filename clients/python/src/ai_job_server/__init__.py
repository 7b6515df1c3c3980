"""Workers and clients for the AI Job Server, in the standard library alone."""

from .client import Client
from .errors import CannotBeDone, GivenBack, JobServerError, RetryAfter, Stopped, UnansweredError, Waiting
from .run import Children, RunContext
from .signals import Signal
from .steps import StepContext
from .usage import usage_of
from .worker import Worker

__all__ = [
    "CannotBeDone",
    "Children",
    "Client",
    "GivenBack",
    "JobServerError",
    "RetryAfter",
    "RunContext",
    "Signal",
    "StepContext",
    "Stopped",
    "UnansweredError",
    "Waiting",
    "Worker",
    "usage_of",
]
