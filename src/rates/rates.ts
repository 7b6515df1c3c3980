import { type RateLimiterAbstract, RateLimiterMemory } from "rate-limiter-flexible";
import { Allowance } from "./allowance.ts";
import { FailedLogins } from "./failed-logins.ts";
import { Slots } from "./slots.ts";

/** How much each principal may ask for (section 11). 0 is no limit. */
export interface RateLimits {
  /** Complexity of what it reads in a minute. */
  readonly complexityPerMinute: number;
  /** Commands in a second, on the average of a few. */
  readonly commandsPerSecond: number;
  /** Subscriptions that it has at this server at once. */
  readonly maxStreams: number;
  /** Claims that wait for a job at this server at once. */
  readonly maxLongPolls: number;
  /** Credentials from one network that may be refused in a minute before the next is not looked at. */
  readonly failedLoginsPerMinute: number;
}

/** What an operation costs. */
export interface Price {
  /** Complexity of what it reads. */
  readonly units: number;
  readonly commands: number;
  /** Whether it may wait for jobs. */
  readonly isLongPoll: boolean;
}

/** Why an operation is refused, and when it would not be. */
export interface RateRefusal {
  readonly message: string;
  readonly retryAfterSeconds: number;
}

/** Points that a principal has in a window of seconds. */
export interface PointsWindow {
  readonly points: number;
  readonly duration: number;
}

/** Opens a store of points, by a name of its own. */
export type OpenStore = (name: string, window: PointsWindow) => Pick<RateLimiterAbstract, "consume">;

/** Where points are counted: in this process, or in Redis for several. */
export interface RateStores {
  readonly open: OpenStore;
  close(): void;
}

/** Counts in this process alone. */
export const IN_MEMORY: RateStores = {
  open: (_name, window) => new RateLimiterMemory(window),
  close: () => undefined,
};

const MINUTE = 60;
/** Seconds over which commands are counted: as many as they allow may come at once. */
const COMMAND_WINDOW = 5;
/** Seconds after which what is open may have ended: nobody can know. */
const SLOT_SECONDS = 5;

/** The rates of all principals, as far as this server knows them. */
export class Rates {
  readonly failedLogins: FailedLogins | undefined;
  readonly #limits: RateLimits;
  readonly #stores: RateStores;
  readonly #units: Allowance | undefined;
  readonly #commands: Allowance | undefined;
  readonly #streams: Slots;
  readonly #longPolls: Slots;

  constructor(limits: RateLimits, stores: RateStores = IN_MEMORY) {
    const allowanceOf = (name: string, perSecond: number, duration: number) => {
      const window = { points: Math.max(1, Math.floor(perSecond * duration)), duration };
      return perSecond === 0 ? undefined : new Allowance(stores.open(name, window), window.points);
    };
    this.#limits = limits;
    this.#stores = stores;
    this.#units = allowanceOf("complexity", limits.complexityPerMinute / MINUTE, MINUTE);
    this.#commands = allowanceOf("commands", limits.commandsPerSecond, COMMAND_WINDOW);
    this.#streams = new Slots(limits.maxStreams || Number.POSITIVE_INFINITY);
    this.#longPolls = new Slots(limits.maxLongPolls || Number.POSITIVE_INFINITY);
    const { failedLoginsPerMinute } = limits;
    this.failedLogins = failedLoginsPerMinute === 0 ? undefined : new FailedLogins(failedLoginsPerMinute);
  }

  /** Spends what an operation costs. @returns why it may not run, if it may not; a promise only where Redis is asked. */
  spend(principal: string, { units, commands }: Price): RateRefusal | undefined | Promise<RateRefusal | undefined> {
    const waitMs = commands > 0 ? this.#commands?.spend(principal, commands) : this.#units?.spend(principal, units);
    const refusalOf = (ms: number) => (ms === 0 ? undefined : this.#refusal(commands > 0, ms));
    return typeof waitMs === "object" ? waitMs.then(refusalOf) : refusalOf(waitMs ?? 0);
  }

  /** Opens a subscription. @returns what closes it, or why there may be no more. */
  openStream(principal: string): (() => void) | RateRefusal {
    const { maxStreams } = this.#limits;
    const message = `You have ${maxStreams} subscriptions at this server, and may have no more at once. End one.`;
    return this.#streams.take(principal) ?? { message, retryAfterSeconds: SLOT_SECONDS };
  }

  /** Opens a claim that waits. @returns what closes it, or why there may be no more. */
  openLongPoll(principal: string): (() => void) | RateRefusal {
    const { maxLongPolls } = this.#limits;
    const message = `${maxLongPolls} claims of yours wait at this server, and no more may at once. Claim with waitSeconds 0.`;
    return this.#longPolls.take(principal) ?? { message, retryAfterSeconds: SLOT_SECONDS };
  }

  close(): void {
    this.#stores.close();
  }

  #refusal(isCommand: boolean, ms: number): RateRefusal {
    const { commandsPerSecond, complexityPerMinute } = this.#limits;
    const retryAfterSeconds = Math.ceil(ms / 1000);
    const rate = isCommand ? `${commandsPerSecond} commands a second` : `complexity ${complexityPerMinute} a minute`;
    const message =
      `You may ask for ${rate}, and did. Nothing of this was done; send the same in ${retryAfterSeconds} seconds, or ` +
      (isCommand ? "less at a time." : "ask for smaller pages or fewer fields.");
    return { message, retryAfterSeconds };
  }
}
