import type { Connection } from "../api/request.ts";
import type { Moment } from "./clock.ts";
import type { StopDirective } from "./lease-memory.ts";
import type { Progress } from "./progress.ts";

/** What the keeper's thread is started with. */
export interface KeeperData {
  readonly connection: Connection;
  readonly workerId: string;
  readonly leaseSeconds: number;
}

/** What the worker tells the keeper. */
export type ToKeeper =
  | {
      readonly type: "hold";
      readonly runId: string;
      readonly token: string;
      readonly sentAt: Moment;
      readonly memory: SharedArrayBuffer;
    }
  | { readonly type: "letGo"; readonly runId: string }
  | { readonly type: "progress"; readonly runId: string; readonly progress: Progress };

/** What the keeper tells the worker: that a run must stop, at once. */
export interface FromKeeper {
  readonly runId: string;
  readonly directive: StopDirective;
  readonly message: string;
}
