import type { JobKind, SubmitAiJobInput } from "@ai-job-server/sdk/client";

/** The jobs of a small company that lets models read its mail, its contracts and its meetings. */

/** What becomes of a demonstration's job; its inputs say so to the worker. */
export const FATES = [
  "completed",
  "with-issues",
  "fails",
  "fails-once",
  "asks",
  "poisoned",
  "splits",
  "waits",
] as const;
export type Fate = (typeof FATES)[number];

/** The label by which its worker knows these jobs from others. */
export const DEMO = { key: "demo", value: "seed" } as const;

interface Template {
  readonly jobKind: JobKind;
  readonly protocolId: string;
  readonly title: string;
  readonly team: string;
  readonly fate: Fate;
}

const TEMPLATES: readonly Template[] = [
  {
    jobKind: "DOC_SUMMARIZE",
    protocolId: "contract-review",
    title: "Supply contract, Nordwind",
    team: "legal",
    fate: "completed",
  },
  {
    jobKind: "ASR_TRANSCRIBE",
    protocolId: "meeting-minutes",
    title: "Board meeting of Monday",
    team: "office",
    fate: "splits",
  },
  {
    jobKind: "SHEET_TRANSFORM",
    protocolId: "invoice-import",
    title: "Invoices of October",
    team: "finance",
    fate: "with-issues",
  },
  { jobKind: "DOC_EDIT", protocolId: "contract-review", title: "Lease, third draft", team: "legal", fate: "asks" },
  {
    jobKind: "DOC_SUMMARIZE",
    protocolId: "mail-triage",
    title: "Mail from an unknown sender",
    team: "support",
    fate: "poisoned",
  },
  {
    jobKind: "CANVAS_CLUSTER",
    protocolId: "research-map",
    title: "Notes of twelve interviews",
    team: "research",
    fate: "completed",
  },
  {
    jobKind: "SHEET_TRANSFORM",
    protocolId: "invoice-import",
    title: "A file that is no table",
    team: "finance",
    fate: "fails",
  },
  {
    jobKind: "DOC_SUMMARIZE",
    protocolId: "mail-triage",
    title: "Mail of the weekend",
    team: "support",
    fate: "fails-once",
  },
  { jobKind: "DOC_EDIT", protocolId: "translation", title: "Manual, into Polish", team: "support", fate: "completed" },
  {
    jobKind: "ASR_TRANSCRIBE",
    protocolId: "meeting-minutes",
    title: "Town hall, later tonight",
    team: "office",
    fate: "waits",
  },
];

/** How long a job waits that is to be seen waiting. */
const LATER_MS = 6 * 3_600_000;

/** @returns so many jobs: those of the list, again and again. */
export function demoJobs(count: number): readonly SubmitAiJobInput[] {
  return Array.from({ length: count }, (_, at) => {
    const { jobKind, protocolId, title, team, fate } = TEMPLATES[at % TEMPLATES.length] ?? unreachable();
    return {
      jobKind,
      protocolId,
      jobInputs: { title, fate },
      labels: [{ key: "team", value: team }, DEMO],
      priority: at % 3,
      ...(fate === "fails" ? { maxAttempts: 1 } : {}),
      ...(fate === "waits" ? { runAfter: new Date(Date.now() + LATER_MS).toISOString() } : {}),
    };
  });
}

function unreachable(): never {
  throw new Error("The list has jobs.");
}
