"""How the kit speaks with the server: requests, and streams."""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
from dataclasses import dataclass, field, replace
from queue import Empty, LifoQueue
from typing import Any, Iterator, Mapping
from urllib.parse import urlsplit

from .errors import JobServerError, UnansweredError
from .signals import Signal

#: The longest time that an answer may take, in seconds: more than the longest wait of a claim.
TIMEOUT_SECONDS = 60.0
#: A silent stream shows a sign of life every 12 seconds; one that shows none for so long is dead.
SILENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Connection:
    """Where the server is, and as whom to speak with it."""

    #: The address of the API, such as http://127.0.0.1:4000/graphql.
    url: str
    #: An API key or a token; None on a server that asks for none.
    key: str | None = None
    #: The workspace to be in, for a key of the whole deployment; None: that of the key.
    workspace_id: str | None = None
    #: The W3C trace context that each request belongs to; None for none.
    traceparent: str | None = None
    _idle: LifoQueue[http.client.HTTPConnection] = field(default_factory=LifoQueue, repr=False, compare=False)

    def request(self, query: str, variables: Mapping[str, Any], timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
        """Sends an operation once, and returns its data.

        Raises JobServerError where the whole request was refused, UnansweredError where no answer came.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = self._headers("application/graphql-response+json, application/json;q=0.9")
        connection = self._take(timeout)
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            raise UnansweredError(f"{self.url} did not answer.") from cause
        if response.status == 413:
            connection.close()
            raise JobServerError("INVALID_INPUT", "The request is too large for the server, or a proxy before it.")
        if response.will_close:
            connection.close()
        else:
            self._idle.put(connection)
        return data_of(parsed(text, response.status), response)

    def subscribe(self, query: str, variables: Mapping[str, Any], signal: Signal) -> Iterator[dict[str, Any]]:
        """Runs a subscription once, over a connection of its own, until it completes.

        Raises UnansweredError where it breaks off, JobServerError where it is refused; ends once `signal` is aborted.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        connection = self._open(SILENCE_SECONDS)
        stop_watching = signal.call_on_abort(lambda: shut_down(connection))
        try:
            connection.request("POST", self._path, body, self._headers("text/event-stream"))
            response = connection.getresponse()
            if response.getheader("content-type", "").startswith("text/event-stream"):
                for event, data in events_of(response):
                    if event == "complete":
                        return
                    if event == "next":
                        yield data_of(parsed(data.encode(), response.status), response)
                raise UnansweredError("The stream broke off.")
            data_of(parsed(response.read(), response.status), response)
            raise UnansweredError(f"HTTP {response.status} without a stream.")
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as cause:
            if signal.aborted:
                return
            raise UnansweredError("The stream broke off.") from cause
        finally:
            stop_watching()
            connection.close()

    @property
    def _path(self) -> str:
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": accept}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        if self.workspace_id is not None:
            headers["x-workspace-id"] = self.workspace_id
        if self.traceparent is not None:
            headers["traceparent"] = self.traceparent
        return headers

    def within(self, traceparent: str) -> Connection:
        """Returns the same, for requests that belong to a trace; both share what is open to the server."""
        return replace(self, traceparent=traceparent)

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or "127.0.0.1"
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)

    def _take(self, timeout: float) -> http.client.HTTPConnection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                return self._open(timeout)
            # One that the server has closed meanwhile can be read from: to its end.
            if connection.sock is None or select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                continue
            connection.sock.settimeout(timeout)
            return connection


def shut_down(connection: http.client.HTTPConnection) -> None:
    """Wakes whoever reads from a connection."""
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def parsed(text: bytes, status: int) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError as cause:
        raise UnansweredError(f"HTTP {status} without a GraphQL answer.") from cause
    if not isinstance(answer, dict) or not ("data" in answer or "errors" in answer):
        raise UnansweredError(f"HTTP {status} without a GraphQL answer.")
    return answer


def data_of(answer: Mapping[str, Any], response: http.client.HTTPResponse) -> dict[str, Any]:
    errors = answer.get("errors") or []
    data = answer.get("data")
    if not errors and isinstance(data, dict):
        return data
    first = errors[0] if errors else {}
    extensions = first.get("extensions") or {}
    message = "\n".join(error["message"] for error in errors) or f"HTTP {response.status} without data."
    details = {key: value for key, value in extensions.items() if key != "code"}
    retry_after = response.getheader("retry-after")
    if retry_after is not None and retry_after.isdigit():
        details["retryAfterMs"] = int(retry_after) * 1000
    raise JobServerError(extensions.get("code", "INTERNAL_SERVER_ERROR"), message, details=details)


def events_of(lines: Iterator[bytes] | http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Reads the events of a text/event-stream, as they come: the name and the data of each."""
    event, data = "message", list[str]()
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if line == "":
            if data:
                yield event, "\n".join(data)
            event, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)


def success_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """A mutation's result that is no error. Raises JobServerError for one that is."""
    if "code" in result and "message" in result:
        raise error_of(result)
    return dict(result)


def error_of(refusal: Mapping[str, Any]) -> JobServerError:
    details = {key: value for key, value in refusal.items() if key not in {"__typename", "code", "message", "stop"}}
    return JobServerError(refusal["code"], refusal["message"], directive=refusal.get("stop"), details=details)
