import { type Answer, type Client, codeOf, type Item, UnexpectedAnswerError } from "./client.ts";
import type { Journal, ReportInput, ReportKind } from "./journal.ts";
import type { Random } from "./plan.ts";

/** The answer to a report. */
export interface ReportResult {
  /** The error code; null if the report was accepted. */
  readonly code: string | null;
  /** Whether the worker must stop. */
  readonly mustStop: boolean;
}

/** For each kind of report, its mutation, and the name of the list if it takes several. */
const REPORTS: Readonly<Record<ReportKind, { readonly batch?: string; readonly mutation: string }>> = {
  heartbeat: {
    batch: "heartbeats",
    mutation: `mutation ($input: HeartbeatWorkflowsInput!) { answer: heartbeatWorkflows(input: $input) {
      __typename
      ... on HeartbeatWorkflowsPayload { results { directive leaseExpiresAt error { code message } } }
      ... on Error { code message } } }`,
  },
  complete: {
    batch: "completions",
    mutation: `mutation ($input: CompleteWorkflowsInput!) { answer: completeWorkflows(input: $input) {
      __typename
      ... on CompleteWorkflowsPayload { results { __typename ... on Error { code message } } }
      ... on Error { code message } } }`,
  },
  advance: {
    mutation: `mutation ($input: AdvanceWorkflowInput!) { answer: advanceWorkflow(input: $input) {
      __typename ... on AdvanceWorkflowPayload { directive } ... on Error { code message } } }`,
  },
  fail: {
    batch: "failures",
    mutation: `mutation ($input: FailWorkflowsInput!) { answer: failWorkflows(input: $input) {
      __typename
      ... on FailWorkflowsPayload { results { __typename ... on Error { code message } } }
      ... on Error { code message } } }`,
  },
};

/** Codes that a worker that does nothing wrong can get: others ended its job, or its own report did. */
const EXPECTED_CODES = [
  "LEASE_LOST",
  "ILLEGAL_TRANSITION",
  "JOB_POISONED",
  "BUDGET_EXCEEDED",
  "ACCESS_MODE_VIOLATION",
] as const;

/**
 * With which probability an answer is treated as lost, after it has come or while it is awaited: the report is sent
 * again.
 */
const LOST_PROBABILITY = { after: 0.03, before: 0.03 };

/** Sends reports. Each is written to the journal before it is sent, and its answer when it has come. */
export class Reporter {
  readonly #clients: readonly Client[];
  readonly #journal: Journal;
  readonly #random: Random;

  /** @param clients each tries a different server first. */
  constructor(clients: readonly Client[], journal: Journal, random: Random) {
    this.#clients = clients;
    this.#journal = journal;
    this.#random = random;
  }

  /** Sends new reports of one kind in one request; several only if the kind takes a list. */
  report(kind: ReportKind, inputs: readonly ReportInput[]): Promise<readonly ReportResult[]> {
    for (const input of inputs) this.#journal.write({ type: "planned", kind, input });
    return this.repeat(kind, inputs);
  }

  /** Sends reports again that are already in the journal. */
  async repeat(kind: ReportKind, inputs: readonly ReportInput[]): Promise<readonly ReportResult[]> {
    const { batch, mutation } = REPORTS[kind];
    const reportIds = inputs.map(({ reportId }) => reportId);
    const content = batch ? { [batch]: inputs } : { ...inputs[0] };
    const send = (client: Client) =>
      client.ask(mutation, content, () => this.#journal.write({ type: "sent", reportIds }));
    // Sometimes two servers get the same report at the same time, or a report is sent again although it was answered.
    const copies = this.#random() < LOST_PROBABILITY.before ? 2 : 1;
    const answers = await Promise.all(this.#clients.slice(0, copies).map(send));
    if (this.#random() < LOST_PROBABILITY.after)
      answers.push(...(await Promise.all(this.#clients.slice(-1).map(send))));
    const answer = answers.at(-1);
    if (!answer) throw new Error("The reporter has no clients.");
    return itemsOf(answer, inputs.length).map((item, index) => this.#recordAnswer(reportIds[index] ?? "", item));
  }

  #recordAnswer(reportId: string, item: Item): ReportResult {
    const code = codeOf(item);
    const { leaseExpiresAt = null, directive = "CONTINUE" } = item;
    this.#journal.write({
      type: "answered",
      reportId,
      code,
      leaseExpiresAt: typeof leaseExpiresAt === "string" ? leaseExpiresAt : null,
    });
    if (code !== null && !EXPECTED_CODES.some((expected) => expected === code))
      throw new UnexpectedAnswerError(JSON.stringify(item));
    return { code, mustStop: code !== null || directive !== "CONTINUE" };
  }
}

function itemsOf(answer: Answer, count: number): readonly Item[] {
  const items = answer.results ?? [answer];
  if (items.length !== count) throw new UnexpectedAnswerError(JSON.stringify(answer));
  return items;
}
