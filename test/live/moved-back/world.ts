import type { Database } from "../../../src/db/database.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { beginEpoch } from "../../../src/live/epoch.ts";
import { engineOn, WORKSPACE } from "../../support/engine.ts";
import { type Backup, backUp, restore } from "../../support/moved-back.ts";
import { aggregateAll } from "../../support/totals.ts";
import { expectAdmission, expectAppended, expectDelivered, expectEpochs, expectResumed } from "./checks.ts";
import { Client } from "./client.ts";
import { Callers } from "./commands.ts";
import { type Log, losesEvents, type Moved, readLog, stands } from "./log.ts";
import { expectRecounted } from "./recount.ts";
import { type Server, type Subscription, startServer } from "./server.ts";
import { type Command, FAR_BEHIND, type Move, type Step } from "./step.ts";

/** How often each thing that must not be missing from the sequences has happened. */
export type Counts = Map<string, number>;

/** The tables with what is counted from the log. */
const TOTALS = ["job_totals", "usage_minutes", "usage_intervals", "totals_position"];
/** How often a server may look until it finds that the log goes on. */
const MAX_LOOKS = 5;

/** One database, two servers, and their clients. */
export class World {
  readonly #database: Database;
  readonly #counts: Counts;
  readonly #engine: EngineContext;
  readonly #callers: Callers;
  readonly #errors: unknown[] = [];
  readonly #servers: Server[] = [];
  /** Those of clients that were not told CURSOR_EXPIRED. */
  #subscriptions: Subscription[] = [];
  /** Cursors that clients have been given. */
  readonly #cursors: { readonly cursor: string; readonly jobId: string | undefined }[] = [];
  /** The database before each command. */
  readonly #backups: { readonly rows: Backup; readonly log: Log }[] = [];
  /** Every epoch that there has been, in the order in which they began. */
  readonly #epochs: string[] = [];

  /** @param counts grows with what happens. */
  constructor(database: Database, counts: Counts) {
    this.#database = database;
    this.#counts = counts;
    this.#engine = engineOn(database, {
      notifyCommit: () => {
        for (const { feed } of this.#servers) feed.notify();
      },
      backoff: { firstMs: 0, maxMs: 0 },
    });
    this.#callers = new Callers(this.#engine);
  }

  /** Starts both servers, each with a client that follows everything. */
  async begin(): Promise<void> {
    this.#epochs.push((await this.#log()).epoch);
    for (const server of [0, 1])
      this.#servers[server] = await startServer(this.#database, (error) => this.#errors.push(error));
    for (const server of [0, 1]) await this.#subscribe(new Client({ workspaceId: WORKSPACE }), server);
  }

  async take(step: Step): Promise<void> {
    switch (step.does) {
      case "aggregate":
        return aggregateAll(this.#database.prisma);
      case "begin epoch":
        return this.#beginEpochByHand();
      case "subscribe": {
        const job = step.job === null ? {} : { jobId: await this.#callers.jobId(step.job) };
        await this.#subscribe(new Client({ workspaceId: WORKSPACE, ...job }), step.server);
        return this.#settle();
      }
      case "resume": {
        const { cursor, jobId } = this.#cursors.at(-1 - (step.cursor % this.#cursors.length)) ?? {};
        if (cursor === undefined) return;
        const client = new Client({ workspaceId: WORKSPACE, ...(jobId === undefined ? {} : { jobId }) });
        await this.#resume(client, step.server, cursor);
        return this.#settle();
      }
      case "restart":
        await this.#whileStopped([step.server], async () => undefined);
        return this.#settle();
      case "move":
        return this.#move(step);
      case "submit":
      case "claim":
      case "advance":
      case "heartbeat":
      case "complete":
      case "fail":
      case "cancel":
        await this.#backUp();
        return this.#write(step);
    }
  }

  /** Checks everything a last time, and stops the servers. @throws where a server could not read the log. */
  async end(): Promise<void> {
    await this.#settle();
    await this.stop();
    if (this.#errors.length > 0) throw new Error("The log could not be read.", { cause: this.#errors[0] });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map(({ feed }) => feed.close()));
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  #log(): Promise<Log> {
    return readLog(this.#database.prisma);
  }

  async #backUp(): Promise<void> {
    const rows = await backUp(this.#database.prisma);
    this.#backups.push({ rows, log: await this.#log() });
  }

  /** Sends a command. What it writes must lie above all that is stored, and quotas must admit what the rows leave room for. */
  async #write(command: Command, isCounted = true): Promise<void> {
    const before = await this.#log();
    const jobs = await this.#database.prisma.aiJob.count();
    const refusal = await this.#callers.send(command);
    expectAppended(before, await this.#log());
    if (refusal === "TRY_AGAIN") {
      this.#count("commands told to try again");
    } else if (command.does === "submit" && isCounted) {
      expectAdmission(refusal === "BUDGET_EXCEEDED", jobs);
      if (refusal === "BUDGET_EXCEEDED") this.#count("submits over a quota");
    }
  }

  #server(number: number): Server {
    const server = this.#servers[number];
    if (!server) throw new Error(`There is no server ${number}.`);
    return server;
  }

  async #subscribe(client: Client, server: number, after?: string): Promise<void> {
    const { feed, told } = this.#server(server);
    const toldBefore = told.length;
    await client.follow(feed, after);
    if (client.isExpired) return;
    this.#subscriptions.push({ client, server, toldBefore, toldSince: told.length });
  }

  async #resume(client: Client, server: number, cursor: string): Promise<void> {
    const before = await this.#log();
    await this.#subscribe(client, server, cursor);
    expectResumed(
      client,
      cursor,
      [before, await this.#log()].map((log) => stands(log, cursor)),
    );
    this.#count(client.isExpired ? "cursors refused" : "cursors resumed");
  }

  /** Does what a client does that was told CURSOR_EXPIRED. */
  async #beginAgain({ isExpired, scope }: Client, server: number): Promise<void> {
    if (isExpired) await this.#subscribe(new Client(scope), server);
  }

  /** Stops servers, does `work`, and starts them again; their clients go on from their last cursors. */
  async #whileStopped(servers: readonly number[], work: () => Promise<void>): Promise<void> {
    const cutOff = this.#subscriptions.filter(({ server }) => servers.includes(server));
    this.#subscriptions = this.#subscriptions.filter(({ server }) => !servers.includes(server));
    for (const server of servers) await this.#server(server).feed.close();
    for (const { client } of cutOff) await client.ended();
    await work();
    for (const server of servers)
      this.#servers[server] = await startServer(this.#database, (error) => this.#errors.push(error));
    for (const { client, server } of cutOff) {
      await this.#resume(client, server, client.cursor);
      await this.#beginAgain(client, server);
    }
  }

  async #beginEpochByHand(): Promise<void> {
    await this.#settle();
    const before = await this.#log();
    await beginEpoch(this.#database.prisma, before.epoch, "by hand");
    this.#epochs.push((await this.#log()).epoch);
    await this.#settle(before);
  }

  async #move({ backup: back, ids, isUnseen, stopped, keepsTotals, writes, writesMeanwhile }: Move): Promise<void> {
    if (!isUnseen) await this.#settle();
    await this.#backUp();
    const now = this.#backups.at(-1);
    const backup = this.#backups.at(-1 - (back % this.#backups.length));
    if (!now || !backup) throw new Error("There is a backup of now.");
    const told = this.#servers.map((server, number) => (stopped.includes(number) ? 0 : server.told.length));
    // Where no server has to find that the log does not go on, totals that do not belong to it would stay.
    const leavesTotals = keepsTotals && !isUnseen && stopped.length === 0;
    const behind = { "go on": undefined, again: { behind: 0 } };
    await this.#whileStopped(stopped, async () => {
      const nextIds = typeof ids === "number" ? { behind: ids } : behind[ids];
      await restore(this.#database.prisma, backup.rows, nextIds, leavesTotals ? TOTALS : []);
      for (const command of writes) await this.#write(command, !leavesTotals);
    });
    await this.#settle(now.log, async () => {
      for (const command of writesMeanwhile) await this.#write(command, !leavesTotals);
    });

    const moved = { from: now.log, to: backup.log, ids, isUnseen, isWatched: stopped.length < this.#servers.length };
    const begun = this.#servers.flatMap((server, number) => server.told.slice(told[number]));
    this.#countMove(moved, begun.length > 0);
    if (leavesTotals && losesEvents(moved)) this.#count("moves that left totals");
    expectEpochs(this.#epochs, moved, begun, (await this.#log()).epoch);
    for (const { epoch } of begun) if (!this.#epochs.includes(epoch)) this.#epochs.push(epoch);
  }

  #countMove(moved: Moved, beganEpoch: boolean): void {
    if (losesEvents(moved)) this.#count("moves that lost events");
    if (moved.ids === FAR_BEHIND) this.#count("moves to ids far behind");
    const [from, to] = [moved.from, moved.to].map(({ epoch }) => this.#epochs.indexOf(epoch));
    if (Number(to) < Number(from)) this.#count("moves to before an epoch");
    this.#count(beganEpoch ? "moves with a new epoch" : "moves without a new epoch");
  }

  /**
   * Lets every server look at the log, as it does each second, and then expects that every subscription has what it must have,
   * that what is counted is right, and that each chain is whole.
   * @param before the log before a move, where there was one.
   * @param meanwhile what is done while the servers look.
   */
  async #settle(before?: Log, meanwhile: () => Promise<void> = async () => undefined): Promise<void> {
    await Promise.all([this.#look(), meanwhile()]);
    const log = await this.#log();
    for (const { feed } of this.#servers)
      if (feed.continuity.health?.epoch !== log.epoch) throw new Error("A server does not know the epoch that is.");
    for (const subscription of this.#subscriptions.splice(0)) {
      const { client, server } = subscription;
      await expectDelivered(subscription, this.#server(server).told, before ?? log, log);
      if (client.isExpired) this.#count("subscriptions expired");
      await this.#beginAgain(client, server);
      if (client.isExpired) continue;
      this.#subscriptions.push(subscription);
      this.#cursors.push({ cursor: client.cursor, jobId: client.scope.jobId });
      if (before) this.#count("subscriptions that went on through a move");
    }
    await expectRecounted(this.#database.prisma);
  }

  async #look(): Promise<void> {
    for (let look = 0; look < MAX_LOOKS; look++) {
      const goOn = await Promise.all(this.#servers.map(({ feed }) => feed.continuity.check()));
      if (goOn.every(Boolean)) return;
    }
    throw new Error("Every look finds that the log does not go on.");
  }
}
