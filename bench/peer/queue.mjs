// pg-boss as a library, in a process of its own with the Node that it needs. Each message is a round; each answer its jobs a second.
const [databaseUrl, peer] = process.argv.slice(2);
const QUEUE = "bench";
const { default: First, PgBoss = First } = await import(peer);
const schema = peer.replace("pg-boss", "queue").replaceAll("-", "_");
const boss = new PgBoss({ connectionString: databaseUrl, schema, max: 10, supervise: false, schedule: false });
await boss.start();
await boss.createQueue(QUEUE);

/** Version 10 is told the queue with each job, later ones before them all. */
const insert = (jobs) =>
  peer === "pg-boss-10" ? boss.insert(jobs.map((job) => ({ name: QUEUE, ...job }))) : boss.insert(QUEUE, jobs);

const data = { text: "what a job works on" };
let inQueue = 0;

/** Has so many jobs wait in the queue, at least. */
async function fillTo(waiting) {
  while (inQueue < waiting) {
    const some = Math.min(5_000, waiting - inQueue);
    await insert(Array.from({ length: some }, () => ({ data })));
    inQueue += some;
  }
}

process.on("message", async ({ jobs, batchSize, concurrency, waiting }) => {
  await fillTo(waiting + jobs);
  const start = performance.now();
  let done = 0;
  const worker = async () => {
    while (done < jobs) {
      const taken = await boss.fetch(QUEUE, { batchSize });
      if (taken.length === 0) return;
      await boss.complete(
        QUEUE,
        taken.map(({ id }) => id),
        { ok: true },
      );
      done += taken.length;
      inQueue -= taken.length;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  process.send({ perSecond: done / ((performance.now() - start) / 1000) });
});
process.send({ perSecond: 0 });
