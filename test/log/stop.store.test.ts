import { afterAll, beforeAll, expect, test } from "vitest";
import { JobState, RecorderActor } from "../../src/db/generated/client/enums.ts";
import { toDbEnum } from "../../src/db/rows.ts";
import { IS_STOP, isStop } from "../../src/log/stop.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

/** Which events are stops is said twice, to this process and to the database: they must not differ. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

const STATES = Object.values(JobState);
const EVENTS = [null, ...STATES].flatMap((previousState) =>
  STATES.flatMap((state) => Object.values(RecorderActor).map((actor) => ({ previousState, state, actor }))),
);

test("the condition holds for the events for which the function does", async () => {
  const rows = EVENTS.map(({ previousState, state, actor }, place) => ({
    place,
    previous_state: previousState && toDbEnum(previousState),
    state: toDbEnum(state),
    actor: toDbEnum(actor),
  }));
  const found = await db.prisma.$queryRaw<{ holds: boolean }[]>`
    SELECT coalesce(${IS_STOP}, false) AS holds
    FROM json_to_recordset(${JSON.stringify(rows)}::json)
      AS e(place int, previous_state "JobState", state "JobState", actor "RecorderActor") ORDER BY place`;
  expect(found.map(({ holds }) => holds)).toEqual(EVENTS.map(isStop));
  expect(EVENTS.filter(isStop)).not.toEqual([]);
});

test("the index has its words: PostgreSQL uses it for no others", async () => {
  const [row] = await db.prisma.$queryRaw<{ condition: string }[]>`
    SELECT pg_get_expr(indpred, indrelid) AS condition FROM pg_index WHERE indexrelid = 'flight_recorder_stops'::regclass`;
  const bare = (sql: string) => sql.replaceAll(/::"\w+"|[()]/g, "");
  expect(bare(row?.condition ?? "")).toBe(bare(IS_STOP.sql));
});
