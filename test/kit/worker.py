"""The worker of python.python.test.ts: what each kind of job does says what the test is about. It tells its calls on standard output."""

import json
import sys
import time
from datetime import datetime, timedelta, timezone

from ai_job_server import CannotBeDone, RetryAfter, Worker

url, *options = sys.argv[1:]
worker = Worker(url, lease_seconds=15, drain_seconds=0, concurrency=4, isolate="isolate" in options)


def tell(*words):
    print(json.dumps(words), flush=True)


def call(name, value=None):
    def work(_step):
        tell("call", name)
        return {"name": name, "value": value}

    return work


@worker.handle("DOC_SUMMARIZE", inputs=lambda value: {**value, "case": value["case"]})
def handle(job, ctx):
    return CASES[job["inputs"]["case"]](job, ctx)


def retried(_job, ctx):
    for name in ("one", "two"):
        ctx.step(name, call(name), input={"name": name})

    def third(_step):
        tell("call", "three")
        if ctx.attempt == 1:
            raise RetryAfter(datetime.now(timezone.utc), "The provider is busy.")

    ctx.step("three", third)
    return {"outputs": {"attempt": ctx.attempt}}


def impossible(_job, _ctx):
    raise CannotBeDone("The document is empty.")


def counted(_job, ctx):
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 60}}
    return {"outputs": ctx.step("call", lambda _step: {"model": "gpt-5", "usage": usage})}


def measured(_job, ctx):
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}}

    def plan(step):
        step.report_metrics(entities_read=1)
        step.report_metrics(entities_read=2, validators_run_count=4)
        return {"model": "m", "usage": usage}

    def write(step):
        step.report_metrics(entities_written=1)
        for _ in range(20):
            step.report_usage({"provider": "p", "model": "m", "inputTokens": 1})
        if ctx.attempt == 1:
            raise RetryAfter(datetime.now(timezone.utc), "Once more.")

    def wrong(step):
        for value in (-1, 1.5, True):
            try:
                step.report_metrics(entities_read=value)
            except ValueError as error:
                tell("wrong", str(error))

    ctx.step("plan", plan, count_tokens_as="planner")
    ctx.step("wrong", wrong)
    ctx.step("write", write, count_tokens_as="executor")


def asked(_job, ctx):
    draft = ctx.step("draft", call("draft"))
    return {"outputs": ctx.ask("Send it?", schema={"type": "boolean"}, payload=draft)}


def parent(_job, ctx):
    for part in ("one", "two"):
        ctx.children.submit(jobKind="DOC_EDIT", protocolId="kit", jobInputs={"part": part})
    return {"outputs": [child["jobOutputs"] for child in ctx.children.wait()]}


@worker.handle("DOC_EDIT")
def child(job, _ctx):
    return {"outputs": job["inputs"]}


def slept(_job, ctx):
    at = ctx.step("at", lambda _step: (datetime.now(timezone.utc) + timedelta(seconds=11)).isoformat())
    ctx.sleep_until(datetime.fromisoformat(at))
    return {"outputs": {"attempt": ctx.attempt}}


def released(_job, ctx):
    if ctx.attempt == 1:
        ctx.release("Another worker is better at it.")
    return {"outputs": ctx.traceparent}


def stopped(_job, ctx):
    ctx.signal.on_abort(lambda: tell("stopped", type(ctx.signal.reason).__name__, getattr(ctx.signal.reason, "directive", None)))
    tell("began")
    ctx.step("long", lambda step: step.signal.wait(60))


def hostile(job, ctx):
    ctx.signal.on_abort(lambda: tell("stopped", "Stopped", ctx.signal.reason.directive))
    ctx.snippets([{"sourceId": "a", "content": job["inputs"]["text"]}])
    tell("seen")


def blocked(_job, ctx):
    def work(_step):
        # Holds the interpreter's lock: no other thread of this process runs meanwhile.
        until = time.monotonic() + 18
        switch = sys.getswitchinterval()
        sys.setswitchinterval(60)
        while time.monotonic() < until:
            pass
        sys.setswitchinterval(switch)

    ctx.step("block", work)
    return {"outputs": {"attempt": ctx.attempt}}


def shown(_job, ctx):
    for word in ("The ", "minutes ", "say that."):
        ctx.output.write(word)
    ctx.progress(0.5, "half of it")
    while not ctx.signal.wait(0.1):
        pass


CASES = {each.__name__: each for each in (retried, impossible, counted, measured, asked, parent, slept, released, stopped, hostile, blocked, shown)}
tell("ready")
worker.run()
