/** What the model is asked to be, for each of the agent's calls. The scripted model tells the calls apart by it. */
export const PROMPTS = {
  plan: "You plan a piece of research. Answer with three questions that our documents can answer, one a line, and with nothing else.",
  question:
    "You answer one question from our documents. Search them first. Answer in two sentences, and name your sources in square brackets.",
  draft:
    "You write a short report from findings. Use nothing but the findings, and keep their sources in square brackets.",
  final: "You write two sentences with which a report is sent to those who asked for it.",
} as const;
