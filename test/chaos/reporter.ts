import { type Answer, type Client, codeOf, type Item, Surprise } from "./client.ts";
import type { Journal, ReportInput, ReportKind } from "./journal.ts";
import type { Random } from "./plan.ts";

/** What came of a report. */
export interface Verdict {
  /** Null where it was accepted. */
  readonly code: string | null;
  /** The worker is to stop. */
  readonly stop: boolean;
}

/** Whether a report is one of a batch, and what is asked about it. */
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
    mutation: `mutation ($input: FailWorkflowInput!) { answer: failWorkflow(input: $input) {
      __typename ... on Error { code message } } }`,
  },
};

/** Codes that a worker can meet though it does nothing wrong: others take its job, or what it reports ends it. */
const KNOWN = ["LEASE_LOST", "ILLEGAL_TRANSITION", "JOB_POISONED", "BUDGET_EXCEEDED", "ACCESS_MODE_VIOLATION"] as const;

/** How often, out of once, an answer is taken for lost: after it has come, or before it could. */
const LOST = { after: 0.03, before: 0.03 };

/** Where reports are sent from: each is in the journal before it leaves, and again when its answer has come. */
export class Reporter {
  readonly #clients: readonly Client[];
  readonly #journal: Journal;
  readonly #random: Random;

  /** @param clients which ask another server first, each of them. */
  constructor(clients: readonly Client[], journal: Journal, random: Random) {
    this.#clients = clients;
    this.#journal = journal;
    this.#random = random;
  }

  /** Sends new reports of one kind, as one request; more than one only where the kind has batches. */
  report(kind: ReportKind, inputs: readonly ReportInput[]): Promise<readonly Verdict[]> {
    for (const input of inputs) this.#journal.write({ type: "intends", kind, input });
    return this.repeat(kind, inputs);
  }

  /** Sends reports that are in the journal already. */
  async repeat(kind: ReportKind, inputs: readonly ReportInput[]): Promise<readonly Verdict[]> {
    const { batch, mutation } = REPORTS[kind];
    const reportIds = inputs.map(({ reportId }) => reportId);
    const content = batch ? { [batch]: inputs } : { ...inputs[0] };
    const send = (client: Client) =>
      client.ask(mutation, content, () => this.#journal.write({ type: "sends", reportIds }));
    // Now and then two servers that know nothing of each other have it at once, or it is sent again though it was answered.
    const copies = this.#random() < LOST.before ? 2 : 1;
    const answers = await Promise.all(this.#clients.slice(0, copies).map(send));
    if (this.#random() < LOST.after) answers.push(...(await Promise.all(this.#clients.slice(-1).map(send))));
    const answer = answers.at(-1);
    if (!answer) throw new Error("A desk has clients.");
    return itemsOf(answer, inputs.length).map((item, index) => this.#hear(reportIds[index] ?? "", item));
  }

  #hear(reportId: string, item: Item): Verdict {
    const code = codeOf(item);
    const { leaseExpiresAt = null, directive = "CONTINUE" } = item;
    this.#journal.write({
      type: "hears",
      reportId,
      code,
      leaseExpiresAt: typeof leaseExpiresAt === "string" ? leaseExpiresAt : null,
    });
    if (code !== null && !KNOWN.some((known) => known === code)) throw new Surprise(JSON.stringify(item));
    return { code, stop: code !== null || directive !== "CONTINUE" };
  }
}

function itemsOf(answer: Answer, count: number): readonly Item[] {
  const items = answer.results ?? [answer];
  if (items.length !== count) throw new Surprise(JSON.stringify(answer));
  return items;
}
