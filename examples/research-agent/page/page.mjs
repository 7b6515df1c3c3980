// The page of a research: what it writes, as it writes it, its state, and what it has used so far.
// Whatever comes from the server is set as text, never as HTML.

const COUNTS = ["calls", "inputTokens", "cachedInputTokens", "outputTokens", "reasoningTokens", "costMicros"];

const at = (id) => document.getElementById(id);

/** The server's own event stream: a browser's EventSource goes on by itself after a break, without a gap. */
function listen(path, onItem) {
  const events = new EventSource(path);
  events.addEventListener("next", ({ data }) => {
    const { data: item } = JSON.parse(data);
    if (item) onItem(item.told);
  });
  // Otherwise the browser would connect again.
  events.addEventListener("complete", () => events.close());
  return events;
}

let attempt = 0;
listen("/output", (chunk) => {
  // What an earlier attempt put out is void.
  if (chunk.attempt !== attempt) at("output").textContent = "";
  attempt = chunk.attempt;
  at("output").textContent += chunk.text;
});

const jobs = new Map();
const changes = listen("/jobs", ({ job }) => {
  jobs.set(job.jobId, job);
  show([...jobs.values()]);
  const isOver = [...jobs.values()].every(({ state }) => state === "COMPLETED");
  if (isOver) changes.close();
});

function show(all) {
  const research = all.find(({ jobInputs }) => jobInputs?.topic);
  if (research) {
    at("topic").textContent = research.jobInputs.topic;
    at("state").textContent = research.waitsFor ? `${research.state}, waits for ${research.waitsFor}` : research.state;
    at("asks").textContent = research.userInputRequest?.question ?? "";
  }
  at("usage").replaceChildren(...all.flatMap(rowsOf));
  const usage = all.flatMap(({ modelUsage }) => modelUsage);
  const sums = COUNTS.map((count) => usage.reduce((sum, one) => sum + one[count], 0));
  at("all").replaceChildren(...["All", "", "", ...sums].map(cellOf));
}

function rowsOf({ jobInputs, state, modelUsage }) {
  const name = jobInputs?.topic ?? jobInputs?.question ?? "";
  const rows = modelUsage.map((usage) => [name, state, usage.model, ...COUNTS.map((count) => usage[count])]);
  return (rows.length > 0 ? rows : [[name, state, ""]]).map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map(cellOf));
    return row;
  });
}

function cellOf(text) {
  const cell = document.createElement("td");
  cell.textContent = String(text);
  return cell;
}
