import { type Answer, type Client, codeOf, type Item, UnexpectedAnswerError } from "./client.ts";
import { isExpected, isLostWith } from "./codes.ts";
import type { ReportInput, SentKind } from "./entries.ts";
import type { Journal } from "./journal.ts";
import { type Moment, thisMoment } from "./moment.ts";
import type { Random } from "./plan.ts";
import type { PlannedReport } from "./read-journal.ts";

/** The answer to a report. */
export interface ReportResult {
  readonly reportId: string;
  /** The error code; null if the report was accepted. */
  readonly code: string | null;
  /** Whether the worker must stop. */
  readonly mustStop: boolean;
  /** When that was sent which was answered. */
  readonly sentAt: Moment;
}

/** For each kind of report, its mutation, and the name of the list if it takes several. */
const REPORTS: Readonly<Record<SentKind, { readonly batch?: string; readonly mutation: string }>> = {
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
  release: {
    batch: "releases",
    mutation: `mutation ($input: ReleaseWorkflowsInput!) { answer: releaseWorkflows(input: $input) {
      __typename
      ... on ReleaseWorkflowsPayload { results { __typename ... on Error { code message } } }
      ... on Error { code message } } }`,
  },
  ask: {
    mutation: `mutation ($input: RequestUserInputInput!) { answer: requestUserInput(input: $input) {
      __typename ... on Error { code message } } }`,
  },
  usage: {
    mutation: `mutation ($input: ReportUsageInput!) { answer: reportUsage(input: $input) {
      __typename ... on Error { code message } } }`,
  },
};

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

  /**
   * Sends new reports of one kind in one request; several only if the kind takes a list.
   * @param onSend called each time before they are sent; throws if that is too late.
   */
  report(kind: SentKind, inputs: readonly ReportInput[], onSend: () => void): Promise<readonly ReportResult[]> {
    for (const input of inputs) this.#journal.write({ type: "planned", kind, input });
    return this.#send(kind, inputs, onSend);
  }

  /** Sends a report again that is already in the journal, and its usage by itself where it was lost with it. */
  async settle({ kind, input }: PlannedReport): Promise<void> {
    const [result] = await this.#send(kind, [input]);
    if (isLostWith(result?.code)) await this.saveUsage(input);
  }

  /**
   * Reports the usage of a report by itself which was refused, or of which it is not known whether it was kept: under the same id, so
   * that it is refused where it was kept.
   */
  async saveUsage({ workflowRunId, leaseToken, reportId, metrics }: ReportInput): Promise<void> {
    const { usage = [] } = metrics ?? {};
    if (usage.length === 0) return;
    const input = { workflowRunId, leaseToken, reportId, usage };
    this.#journal.write({ type: "planned", kind: "usage", input });
    await this.#send("usage", [input]);
  }

  /** @param onSend left out: the reports may be late, and nobody counts on them. */
  async #send(kind: SentKind, inputs: readonly ReportInput[], onSend?: () => void): Promise<readonly ReportResult[]> {
    const { batch, mutation } = REPORTS[kind];
    const reportIds = inputs.map(({ reportId }) => reportId);
    const content = batch ? { [batch]: inputs } : { ...inputs[0] };
    const send = async (client: Client) => {
      let sentAt = thisMoment();
      const answer = await client.ask(mutation, content, () => {
        sentAt = thisMoment();
        onSend?.();
        this.#journal.write({ type: "sent", kind, reportIds, at: sentAt, isLate: onSend === undefined });
      });
      return { answer, sentAt };
    };
    // Sometimes two servers get the same report at the same time, or a report is sent again although it was answered.
    const copies = this.#random() < LOST_PROBABILITY.before ? 2 : 1;
    const answers = await Promise.all(this.#clients.slice(0, copies).map(send));
    if (this.#random() < LOST_PROBABILITY.after)
      answers.push(...(await Promise.all(this.#clients.slice(-1).map(send))));
    const last = answers.at(-1);
    if (!last) throw new Error("The reporter has no clients.");
    const items = itemsOf(last.answer, inputs.length);
    return inputs.map((input, index) => this.#recordAnswer(kind, input, items[index] ?? {}, last.sentAt));
  }

  #recordAnswer(kind: SentKind, input: ReportInput, item: Item, sentAt: Moment): ReportResult {
    const { reportId } = input;
    const code = codeOf(item);
    const { leaseExpiresAt: expiry, directive = "CONTINUE" } = item;
    const leaseExpiresAt = typeof expiry === "string" ? expiry : null;
    this.#journal.write({ type: "answered", kind, reportId, sentAt, code, leaseExpiresAt });
    if (!isExpected(kind, code, input, Date.now())) throw new UnexpectedAnswerError(JSON.stringify(item));
    return { reportId, code, mustStop: code !== null || directive !== "CONTINUE", sentAt };
  }
}

function itemsOf(answer: Answer, count: number): readonly Item[] {
  const items = answer.results ?? [answer];
  if (items.length !== count) throw new UnexpectedAnswerError(JSON.stringify(answer));
  return items;
}
