import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cut, fit, widthOf } from "../../examples/demo/columns.ts";
import { DOCUMENTS, DOCUMENTS_FOLDER, readDocuments } from "../../examples/demo/documents.ts";
import { readOptions, tierOf } from "../../examples/demo/options.ts";
import { faultsOf, type Outcome } from "../../examples/demo/outcome.ts";
import { planJobs } from "../../examples/demo/plan.ts";
import { createScreen } from "../../examples/demo/screen.ts";
import type { Change } from "../../examples/demo/watch.ts";

describe("the options", () => {
  test("take kinds through the product's parser, each once", () => {
    expect(readOptions([], {}).kinds).toEqual(["DOC_SUMMARIZE"]);
    expect(readOptions(["--kinds", "doc_edit, term_exec,terminal_exec"], {}).kinds).toEqual([
      "DOC_EDIT",
      "TERMINAL_EXEC",
    ]);
  });

  test.each(["", "bogus", "DOC_EDIT", "doc_edit,", "doc_edit;term_exec"])("refuse the kinds %j", (kinds) => {
    expect(() => readOptions(["--kinds", kinds], {})).toThrow(/is not a job kind\. Accepted: doc_edit, /);
  });

  test("name a model only where OPENAI_MODEL does", () => {
    expect(readOptions([], { OPENAI_API_KEY: "k", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" }).model).toBeUndefined();
    expect(readOptions([], { OPENAI_MODEL: "m", OPENAI_API_KEY: "" }).model).toEqual({
      model: "m",
      baseURL: "https://api.openai.com/v1",
    });
    expect(() => readOptions([], { OPENAI_MODEL: "m", OPENAI_BASE_URL: "nowhere" })).toThrow("OPENAI_BASE_URL");
  });

  test("tell whether what a job reads stays on this machine", () => {
    const tier = (baseURL: string) => tierOf({ model: "m", baseURL });
    expect(tierOf(undefined)).toBe("LOCAL");
    expect(tier("http://127.0.0.1:11434/v1")).toBe("LOCAL");
    expect(tier("http://[::1]:11434/v1")).toBe("LOCAL");
    expect(tier("https://api.openai.com/v1")).toBe("CLOUD");
  });
});

describe("the plan", () => {
  test("knows every document that there is", () => {
    expect(DOCUMENTS.map(({ name }) => name).toSorted()).toEqual(readdirSync(DOCUMENTS_FOLDER).toSorted());
  });

  test("is one job for each document and kind; a command reads what would be pasted otherwise", async () => {
    const jobs = planJobs(["DOC_SUMMARIZE", "TERMINAL_EXEC"], await readDocuments(), "LOCAL");
    expect(jobs).toHaveLength(2 * DOCUMENTS.length);
    expect(new Set(jobs.map(({ input }) => input.idempotencyKey)).size).toBe(jobs.length);
    const tickets = jobs.filter(({ document }) => document.name === "support-ticket.txt");
    expect(tickets.map(({ input }) => input.jobInputs)).toEqual([
      { documentName: "support-ticket.txt", text: expect.stringContaining("new instructions") },
      { documentName: "support-ticket.txt" },
    ]);
    expect(tickets[1]?.input.plannedOperations).toMatchObject([{ opType: "EXECUTE" }]);
  });
});

describe("the demo's own judgement", () => {
  const [clean] = DOCUMENTS.filter(({ expected }) => expected === "COMPLETED");
  const [hostile] = DOCUMENTS.filter(({ expected }) => expected === "POISONED");
  const outputs = { summary: "It is so.", summariser: "extractive", chunks: 1 };

  function judge(document: (typeof DOCUMENTS)[number] | undefined, ended: Partial<Outcome>, versionsSeen = 9) {
    if (!document) throw new Error("The demo has documents of both sorts.");
    const input = { jobKind: "DOC_SUMMARIZE", protocolId: "p", jobInputs: {} } as const;
    const outcome: Outcome = {
      jobId: "job",
      state: "COMPLETED",
      statusReason: "completed",
      errorMessage: null,
      version: 9,
      capabilityProfileId: "default",
      jobOutputs: outputs,
      metrics: { totalTokens: 1, validatorsRunCount: 1 },
      ...ended,
    };
    return faultsOf([{ jobId: "job", document, input }], new Map([["job", outcome]]), new Map([["job", versionsSeen]]));
  }

  test("finds no fault where clean documents completed and hostile ones are poisoned", () => {
    expect(judge(clean, {})).toEqual([]);
    expect(judge(hostile, { state: "POISONED", jobOutputs: null })).toEqual([]);
  });

  test.each([
    ["a hostile document that completed", hostile, {}, /COMPLETED \(completed\) instead of POISONED/],
    ["a clean one that was poisoned", clean, { state: "POISONED", jobOutputs: null }, /instead of COMPLETED/],
    ["a clean one that failed", clean, { state: "FAILED", errorMessage: "no model" }, /FAILED \(no model\) instead/],
    ["a summary that is empty", clean, { jobOutputs: { ...outputs, summary: "" } }, /without a summary/],
    ["outputs of a poisoned job", hostile, { state: "POISONED" }, /its outputs are kept/],
    ["a version that the subscriber missed", clean, { version: 10 }, /saw 9 of 10 versions/],
  ] as const)("finds %s", (_what, document, ended, fault) => {
    expect(judge(document, ended)).toEqual([expect.stringMatching(fault)]);
  });
});

describe("a column", () => {
  test.each([
    ["abc", 3],
    ["図書館", 6],
    ["e\u0301", 1],
    ["", 0],
  ])("%j takes %i", (text, width) => {
    expect(widthOf(text)).toBe(width);
  });

  test("is exactly as wide as it must be", () => {
    expect(fit("ab", 4)).toBe("ab  ");
    expect(fit("abcdef", 4)).toBe("abc…");
    expect(widthOf(fit("図書館のお知らせ", 6))).toBe(6);
  });

  test("holds one line, whatever a document says", () => {
    expect(cut("a\n\u001b[2Jb\u202ec\u0007", 20)).toBe("a [2Jb c");
  });
});

describe("the live table", () => {
  function change(jobId: string, version: number): Change {
    const event = {
      type: "JOB_SUBMITTED",
      actorId: "anonymous",
      payload: { job_kind: "doc_summarize" },
      recordedAt: `2026-01-01T00:00:0${version}.000Z`,
    } as const;
    const job = { jobId, jobKind: "DOC_SUMMARIZE", entityRefs: [{ entityId: `${jobId}.txt` }] } as const;
    return {
      version,
      state: "QUEUED",
      metrics: { totalTokens: 7 },
      job: { ...job, entityRefs: [...job.entityRefs] },
      event,
    };
  }

  function show(output: { isTTY?: boolean; columns?: number; rows?: number }) {
    const written: string[] = [];
    const screen = createScreen({ ...output, write: (text) => written.push(text) }, 2, false);
    for (const [jobId, version] of [
      ["a", 1],
      ["b", 2],
      ["a", 3],
    ] as const)
      screen(change(jobId, version));
    return written.slice(1);
  }

  test("is one line for each change where it goes into a pipe", () => {
    const lines = show({});
    expect(lines).toHaveLength(3);
    expect(lines.join("")).not.toContain("\u001b");
    expect(lines[2]).toMatch(/^ +2\.00 s {2}QUEUED +3 +7 {2}a\.txt +submitted as doc_summarize\n$/);
  });

  test("is redrawn in place in a terminal, a row for each job", () => {
    const frames = show({ isTTY: true, columns: 120, rows: 40 });
    expect(frames[0]?.startsWith("\u001b[2K")).toBe(true);
    expect(frames[1]?.startsWith("\u001b[1A\u001b[2K")).toBe(true);
    expect(frames[2]?.startsWith("\u001b[2A\u001b[2K")).toBe(true);
    expect(frames[2]?.match(/\n/g)).toHaveLength(2);
  });

  test.each([
    { columns: 60, rows: 40 },
    { columns: 120, rows: 4 },
  ])("is not redrawn in a terminal that is too small: %j", (size) => {
    expect(show({ isTTY: true, ...size }).join("")).not.toContain("\u001b[1A");
  });
});
