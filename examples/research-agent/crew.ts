import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Api } from "../client.ts";
import type { ModelSettings } from "../worker/model.ts";

/** The worker processes of the example, of which one crashes, and one is replaced by a deploy. */

const PROGRAM = fileURLToPath(new URL("worker.ts", import.meta.url));

/** After its first call of the model. A crash is noticed when the lease is over: the shortest one keeps the example short. */
const CRASHING = ["--crash-in", "search-1-1", "--lease-seconds", "15"];

export interface CrewSettings {
  readonly api: Api;
  readonly model: ModelSettings;
}

export interface CrewPlan {
  /** Waits until the research puts out its first words: in the middle of a model call. */
  readonly firstOutput: () => Promise<void>;
  /** Called when the worker that was told to go has heard it: from then on it begins no step. */
  readonly onDeploy: () => void;
  /** Fulfilled when the research has ended. */
  readonly ended: Promise<void>;
}

/**
 * Employs workers until the research has ended. The first one is killed in the middle of a child job. A second one goes on, and is
 * told to go in the middle of the draft, when a third one has been started.
 * @throws Error if a process ended otherwise than planned.
 */
export async function runCrew(settings: CrewSettings, { firstOutput, onDeploy, ended }: CrewPlan): Promise<void> {
  const crew: Worker[] = [];
  const employ = (workerId: string, more: readonly string[] = []) => {
    const worker = startWorker(settings, workerId, more);
    crew.push(worker);
    return worker;
  };
  const crashAndDeploy = async () => {
    await expectEnd(employ("worker-1", CRASHING), "SIGKILL");
    console.log("worker-1 was killed in the middle of a job. Its lease runs out; worker-2 goes on.");
    const second = employ("worker-2");
    await Promise.race([firstOutput(), expectEnd(second, 0)]);
    console.log("A deploy: worker-3 is started, and worker-2 is told to go.");
    employ("worker-3");
    const hasHeard = once(second.process, "message");
    second.process.kill("SIGTERM");
    await hasHeard;
    onDeploy();
    await Promise.all(crew.slice(1).map((worker) => expectEnd(worker, 0)));
  };
  try {
    await Promise.race([ended, crashAndDeploy()]);
    for (const { process } of crew) process.kill("SIGTERM");
    await Promise.all(crew.map(({ end }) => end));
  } finally {
    for (const { process } of crew) process.kill("SIGKILL");
  }
}

interface Worker {
  readonly workerId: string;
  readonly process: ChildProcess;
  /** The code or the signal with which it ended. */
  readonly end: Promise<unknown>;
}

async function expectEnd({ workerId, end }: Worker, expected: 0 | "SIGKILL"): Promise<void> {
  const how = await end;
  if (how !== expected) throw new Error(`${workerId} ended with ${String(how)} instead of ${expected}.`);
}

function startWorker({ api, model }: CrewSettings, workerId: string, more: readonly string[]): Worker {
  const env = {
    ...process.env,
    AI_JOB_SERVER_URL: api.url,
    AI_JOB_SERVER_KEY: api.key ?? "",
    OPENAI_MODEL: model.model,
    OPENAI_BASE_URL: model.baseURL,
    OPENAI_API_KEY: model.apiKey ?? "",
  };
  const args = ["--worker-id", workerId, ...more];
  const child = fork(PROGRAM, args, { env, execArgv: ["--import", "tsx"] });
  const end = once(child, "exit").then(([code, signal]: unknown[]) => code ?? signal);
  end.catch(() => undefined);
  return { workerId, process: child, end };
}
