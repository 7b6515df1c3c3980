import type { EventFragment } from "@ai-job-server/sdk/client";
import { useState } from "react";
import { Button } from "../ui/button.tsx";
import { Json } from "../ui/json.tsx";
import { State } from "../ui/state.tsx";
import { clock, duration, exact } from "../ui/time.tsx";
import { Waiting } from "../ui/waiting.tsx";
import { type OpenQuestion, titleOf, toneOf } from "./event-text.ts";

/** How many events are drawn before the person asks for more. */
const DRAWN = 100;

export interface StoryProps {
  readonly events: readonly EventFragment[] | undefined;
  /** What it asks now; null where it asks nothing. */
  readonly open: OpenQuestion | null;
}

/** What happened to a job, oldest first, with how long it was in each state. */
export function Story({ events, open }: StoryProps) {
  const [drawn, setDrawn] = useState(DRAWN);
  if (!events) return <Waiting what="The record" />;
  const hidden = Math.max(0, events.length - drawn);
  return (
    <>
      {hidden > 0 && <Button onPress={() => setDrawn(drawn + 10 * DRAWN)}>{hidden} earlier ones</Button>}
      <ol className="story">
        {events.slice(hidden).map((event, index) => (
          <Event key={event.eventId} event={event} next={events[hidden + index + 1]} open={open} />
        ))}
      </ol>
    </>
  );
}

interface EventProps {
  readonly event: EventFragment;
  readonly next: EventFragment | undefined;
  readonly open: OpenQuestion | null;
}

function Event({ event, next, open }: EventProps) {
  const [isOpen, setIsOpen] = useState(false);
  const isNewState = event.previousState !== event.state;
  const ms = next ? Date.parse(next.recordedAt) - Date.parse(event.recordedAt) : 0;
  return (
    <li data-tone={toneOf(event)}>
      {isNewState && <State state={event.state} />}{" "}
      <time dateTime={event.recordedAt} title={exact(event.recordedAt)} className="quiet">
        {clock(event.recordedAt)}
      </time>
      {ms > 1000 && <span className="quiet"> for {duration(ms)}</span>}
      <div dir="auto">{titleOf(event, open)}</div>
      <Button look="plain" aria-expanded={isOpen} onPress={() => setIsOpen(!isOpen)}>
        Event {event.version}
      </Button>
      <span className="quiet">
        by <bdi>{event.actorId}</bdi>
      </span>
      {isOpen && <Json value={{ ...event, metrics: { ...event.metrics } }} what={`event ${event.version}`} />}
    </li>
  );
}
