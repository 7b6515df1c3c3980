import { parse, print } from "graphql";
import type { GraphiQLOptions } from "graphql-yoga";

/** The page of GraphiQL, and what it begins with. */

/** The three things that people do first, each of which works on an empty database. */
const EXAMPLES = `# Submit a job; a worker claims it, or does not, and it waits.
mutation Submit {
  submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "summary-v1", jobInputs: { document: "minutes.txt" } }) {
    ... on SubmitAiJobPayload { job { jobId state } }
    ... on Error { code message }
  }
}

# See the newest jobs.
query Jobs {
  aiJobs(first: 10) { totalCount nodes { jobId jobKind state createdAt } }
}

# Watch all jobs live.
subscription Watch {
  aiJobsChanged { kind version state job { jobId jobKind } }
}
`;

/** @returns the page's options: with the operation and the variables of its address, as the console's links have them. */
export function graphiqlFor({ url }: Pick<Request, "url">): GraphiQLOptions {
  const { searchParams } = new URL(url);
  const query = readable(searchParams.get("query"));
  const variables = variablesIn(searchParams.get("variables"));
  return {
    title: "AI Job Server",
    subscriptionsProtocol: "SSE",
    defaultQuery: EXAMPLES,
    ...(query === undefined ? {} : { query }),
    ...(variables === undefined ? {} : { variables }),
  };
}

/** @returns an operation as people read it; undefined for what is none, which the page shows as it stands in its address. */
function readable(query: string | null): string | undefined {
  // The page has its options in a script, which a text could end. GraphQL itself has no such sign, but in texts.
  if (query === null || query.includes("<")) return undefined;
  try {
    return print(parse(query, { noLocation: true }));
  } catch {
    return undefined;
  }
}

/** @returns the variables as people read them; undefined where they are no JSON. */
function variablesIn(text: string | null): string | undefined {
  if (text === null) return undefined;
  try {
    // As in `readable`; in JSON the sign can be written otherwise.
    return JSON.stringify(JSON.parse(text), null, 2).replaceAll("<", "\\u003c");
  } catch {
    return undefined;
  }
}
