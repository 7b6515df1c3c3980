/** The protocols of the agent's jobs: what a job's inputs mean, and who does it. */
export const RESEARCH = "research-v1";
export const QUESTION = "research-question-v1";

/** The label by which the jobs of one call of the example are found. The questions inherit it from their research. */
export const SESSION_LABEL = "research";
