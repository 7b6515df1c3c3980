import { expect, test } from "vitest";
import * as enums from "../../src/db/generated/client/enums.ts";
import { JOB_FIELDS } from "../../src/db/job-columns.ts";
import { snakeCase } from "../../src/db/rows.ts";
import { schema } from "../../src/graphql/schema.ts";
import { mayBecome, statesBefore } from "../../src/jobs/state.ts";
import { LEASE_SECONDS } from "../../src/runs/lease-token.ts";
import { guards } from "../../src/security/guards/guards.ts";
import { blocksOf, codesIn, filesBelow, readText, rowsOf, sectionOf } from "../support/documents.ts";

/** What docs/ai-job-model.md says of enums, states and refusals is what the code and the database have. */

const MODEL = readText("docs/ai-job-model.md");
const STATES = Object.values(enums.JobState);
const wordOf = (name: string) => name.toLowerCase();

test("section 2 lists every enum of the Prisma schema with all its values, and no other", () => {
  const documented = rowsOf(sectionOf(MODEL, "## 2. Enums")).map(([name = "", values = ""]) => [
    codesIn(name)[0],
    codesIn(values).toSorted(),
  ]);
  const there = Object.entries(enums).map(([name, values]) => [name, Object.values(values).map(wordOf).toSorted()]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(there));
});

test("section 3 names every column of a job, its metrics among them, and no other", () => {
  const section = sectionOf(MODEL, "## 3. Records");
  const [table = ""] = section.split("\nA job is inserted only");
  const [metrics = ""] = section.slice(section.indexOf("**Metrics**")).split(". Each is a column");
  const named = [...rowsOf(table).flatMap(([cell = ""]) => codesIn(cell)), ...codesIn(metrics)];
  expect(named.toSorted()).toEqual(JOB_FIELDS.map(snakeCase).toSorted());
});

test("section 4's table of transitions is the code's", () => {
  const documented = rowsOf(sectionOf(MODEL, "### Which changes are allowed")).map(([from = "", to = ""]) => [
    from,
    to === "none" ? [] : to.split(" · ").toSorted(),
  ]);
  const allowed = STATES.map((from) => [
    wordOf(from),
    STATES.filter((to) => mayBecome(from, to))
      .map(wordOf)
      .toSorted(),
  ]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(allowed));
  expect(documented).toHaveLength(STATES.length);
});

test("section 4's diagram shows every transition: as an arrow, or in the note of a state that many reach", () => {
  const diagram = blocksOf(sectionOf(MODEL, "## 4. States, versions, locks")).find(({ info }) => info === "mermaid");
  const text = diagram?.text ?? "";
  const arrows = [...text.matchAll(/^ *(\w+) --> (\w+)/gm)].map(([, from = "", to = ""]) => `${from} -> ${to}`);
  const notes = [...text.matchAll(/note right of (\w+): from (.+)/g)].flatMap(([, to = "", all = ""]) =>
    all
      .split(", ")
      .flatMap((from) => STATES.map(wordOf).filter((state) => state === from || isLike(state, from)))
      .map((from) => `${from} -> ${to}`),
  );
  const allowed = STATES.flatMap((to) => statesBefore(to).map((from) => `${wordOf(from)} -> ${wordOf(to)}`));
  expect([...arrows, ...notes].toSorted()).toEqual(allowed.toSorted());
});

/** Whether a state is one of `awaiting_*`. */
function isLike(state: string, pattern: string): boolean {
  return pattern.endsWith("*") && state.startsWith(pattern.slice(0, -1));
}

test("section 4 says of each state who moves a job there", () => {
  const named = rowsOf(sectionOf(MODEL, "### Who moves a job there, and when")).map(([state = ""]) => state);
  expect(named.filter((state) => state !== "").toSorted()).toEqual(STATES.map(wordOf).toSorted());
});

test("section 9 says of each type of event what its payload has", () => {
  const named = rowsOf(sectionOf(MODEL, "## 9. Flight recorder")).flatMap(([type = ""]) => codesIn(type));
  expect(named.toSorted()).toEqual(Object.values(enums.RecorderEventType).map(wordOf).toSorted());
});

test("section 4 explains every SQLSTATE that a migration raises, and no other", () => {
  const raised = filesBelow("prisma/migrations", ".sql").flatMap((file) => readText(file).match(/\bAJ\d{3}\b/g) ?? []);
  const explained = rowsOf(sectionOf(MODEL, "### What the database refuses by itself")).map(([code = ""]) => code);
  expect(explained.toSorted()).toEqual([...new Set(raised)].toSorted());
});

test("section 4's table of operations names every type of event, and no other", () => {
  const section = sectionOf(MODEL, "## 4. States, versions, locks");
  const [table = ""] = section.slice(section.indexOf("| operation | events")).split("\n\n");
  const types: readonly string[] = Object.values(enums.RecorderEventType).map(wordOf);
  const named = rowsOf(table)
    .flatMap(([, events = ""]) => codesIn(events))
    .filter((word) => types.includes(word) || (/^[a-z]+_[a-z_]+$/.test(word) && word !== "llm_call"));
  expect([...new Set(named)].filter((word) => !types.includes(word))).toEqual([]);
  expect(types.filter((type) => !named.includes(type))).toEqual([]);
});

test("sections 4 to 6, and 11 for who may call, name every mutation", () => {
  const mutations = Object.keys(schema.getMutationType()?.getFields() ?? {});
  const whatTheyDo = `${MODEL.slice(MODEL.indexOf("\n## 4. "), MODEL.indexOf("\n## 7. "))}${sectionOf(MODEL, "## 11. Identity")}`;
  expect(mutations.filter((name) => !new RegExp(`\`${name}\\b`).test(whatTheyDo))).toEqual([]);
  expect(mutations.length).toBeGreaterThan(10);
});

test("section 7 names the guards of this server in their order, and no other", () => {
  const named = [...sectionOf(MODEL, "## 7. Guards").matchAll(/\*\*(\w+Guard)\*\*/g)].map(([, name]) => name);
  expect(named).toEqual(guards.map(({ name }) => name));
});

test("the lease's length is told as it is", () => {
  const { default: usual, min, max } = LEASE_SECONDS;
  expect(MODEL).toContain(`${min} to ${max} seconds, ${usual} where`);
  expect(readText("docs/worker-protocol.md")).toContain(`(${min} to ${max}; ${usual} where they are left out)`);
});
