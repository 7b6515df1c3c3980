/** The protocols of the agent's jobs: what a job's inputs mean, and who does it. */
export const RESEARCH = "research-v1";
export const QUESTION = "research-question-v1";
