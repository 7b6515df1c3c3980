"""A client, for programs that submit jobs and wait for them."""

from __future__ import annotations

import uuid
from typing import Any, Iterator, Mapping

from .connection import Connection, success_of
from .errors import JobServerError
from .operations import (
    AI_JOB,
    AI_JOB_CHANGED,
    AI_JOB_OUTPUT,
    AI_JOBS,
    AI_JOBS_CHANGED,
    CANCEL_AI_JOB,
    RESOLVE_USER_REVIEW,
    RETRY_AI_JOB,
    SUBMIT_AI_JOB,
)
from .retry import follow, until_answered
from .run import ENDED
from .signals import Signal

Job = Mapping[str, Any]


class Client:
    """A client of the server. Jobs, changes and chunks are dicts, with the names of the API's fields."""

    def __init__(self, url: str, *, key: str | None = None, workspace_id: str | None = None) -> None:
        self._connection = Connection(url, key, workspace_id)

    def request(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sends any operation, once. Raises JobServerError where the whole request was refused, UnansweredError where no answer came."""
        return self._connection.request(query, variables or {})

    def submit(self, **job: Any) -> Job:
        """Submits a job, once, however often its request has to be sent. The fields are those of SubmitAiJobInput, such as `jobKind`."""
        variables = {"input": {**job, "idempotencyKey": job.get("idempotencyKey") or str(uuid.uuid4())}}
        submitted = until_answered(lambda: success_of(self.request(SUBMIT_AI_JOB, variables)["submitAiJob"]), Signal())
        return dict(submitted["job"])

    def submit_and_wait(self, **job: Any) -> Job:
        """Submits a job, and waits until it has ended, whatever became of it: its `state` says."""
        return self.wait_for(self.submit(**job)["jobId"])

    def wait_for(self, job_id: str) -> Job:
        """Waits until a job has ended."""
        for change in self.watch_job(job_id):
            if change["state"] in ENDED:
                break
        job = self.job(job_id)
        if job is None:
            raise JobServerError("NOT_FOUND", f"There is no job {job_id}.")
        return job

    def job(self, job_id: str) -> Job | None:
        """A job, with inputs and outputs; None where there is none that the caller may read."""
        job: Job | None = until_answered(lambda: self.request(AI_JOB, {"jobId": job_id})["aiJob"], Signal())
        return job

    def jobs(self, **variables: Any) -> Mapping[str, Any]:
        """A page of jobs, newest first: `nodes`, `pageInfo` and `feedCursor`. Takes `filter`, `first`, `after`, `last`, `before`, `orderBy`."""
        return dict(until_answered(lambda: self.request(AI_JOBS, variables)["aiJobs"], Signal()))

    def cancel(self, job_id: str, reason: str, *, include_children: bool = False) -> Job:
        variables = {"input": {"jobId": job_id, "reason": reason, "includeChildren": include_children}}
        return dict(success_of(self.request(CANCEL_AI_JOB, variables)["cancelAiJob"])["job"])

    def retry(self, job_id: str) -> Job:
        return dict(success_of(self.request(RETRY_AI_JOB, {"input": {"jobId": job_id}})["retryAiJob"])["job"])

    def answer(self, job_id: str, answer: Any, *, request_id: str | None = None) -> Job:
        """Answers the question of a job; `request_id` says which one is meant, so that another one is not answered by mistake."""
        decision: dict[str, Any] = {"jobId": job_id, "decision": "ANSWER", "answer": answer}
        if request_id is not None:
            decision["requestId"] = request_id
        return dict(success_of(self.request(RESOLVE_USER_REVIEW, {"input": decision})["resolveUserReview"])["job"])

    def watch_job(self, job_id: str, *, after: str | None = None) -> Iterator[Mapping[str, Any]]:
        """Watches a job: how it is, then every change, each once and in order, over as many connections as that takes.

        It ends when the job has come to a state that nothing leaves; a failed job may be retried, so the watch goes on.
        """
        variables = {"jobId": job_id, "untilEnded": True}
        return follow(self._connection, AI_JOB_CHANGED, variables, "aiJobChanged", Signal(), after)

    def watch_jobs(self, filter: Mapping[str, Any] | None = None, *, after: str | None = None) -> Iterator[Mapping[str, Any]]:
        """Watches the jobs that match a filter: the newest 100 as they are, then every change."""
        return follow(self._connection, AI_JOBS_CHANGED, {"filter": filter or {}}, "aiJobsChanged", Signal(), after)

    def output(self, job_id: str, *, after: str | None = None) -> Iterator[Mapping[str, Any]]:
        """What the runs of a job put out while they work; ends when the job has ended."""
        return follow(self._connection, AI_JOB_OUTPUT, {"jobId": job_id}, "aiJobOutput", Signal(), after)
