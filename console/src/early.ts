import { AiJobs, type AiJobsQuery } from "@ai-job-server/sdk/client";
import { chosenWorkspace, clientIn } from "./api/client.ts";
import { ConsoleViewer, type ConsoleViewerQuery } from "./api/generated.ts";
import { BASE_PATH } from "./api/place.ts";
import { listVariables, queryKeyOf, readQuery } from "./jobs/filter.ts";

/**
 * What the first view needs, asked for by a script of its own, before the rest of the page is there: the answers come while that is loaded and
 * compiled, which takes longer.
 */

export const earlyWorkspace = chosenWorkspace();
export const earlyClient = clientIn(earlyWorkspace);

/** Handed out once: whoever asks again wants to know how it is then. */
class Once<Value> {
  #answer: Promise<Value> | null;

  constructor(answer: Promise<Value>) {
    // Whoever takes it looks at its errors; nobody may.
    answer.catch(() => undefined);
    this.#answer = answer;
  }

  take(): Promise<Value> | null {
    const answer = this.#answer;
    this.#answer = null;
    return answer;
  }
}

export const earlyViewer = new Once<ConsoleViewerQuery>(earlyClient.request(ConsoleViewer, {}));

const isList = location.pathname === `${BASE_PATH}/`;
const query = readQuery(new URLSearchParams(location.search));
const earlyList = isList ? new Once<AiJobsQuery>(earlyClient.request(AiJobs, listVariables(query))) : null;
const earlyKey = queryKeyOf(query);

/** @returns the list's first page, where it was asked for early; null where it was not, or was taken. */
export function takeEarlyList(client: unknown, key: string): Promise<AiJobsQuery> | null {
  return client === earlyClient && key === earlyKey ? (earlyList?.take() ?? null) : null;
}
