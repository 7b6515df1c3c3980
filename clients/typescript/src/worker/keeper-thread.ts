import { parentPort, workerData } from "node:worker_threads";
import { trust } from "../api/trust.ts";
import type { FromKeeper, KeeperData, ToKeeper } from "./keeper-messages.ts";
import { LeaseRenewer } from "./lease-renewer.ts";
import { listenForStops } from "./stops.ts";

/** The thread that keeps a worker's leases, so that nothing that a handler does, such as a long loop, can lose one. */

const data = trust<KeeperData>(workerData);
const port = parentPort;
if (!port) throw new Error("This file is a thread of the worker kit.");

const renewer = new LeaseRenewer(data, (stop: FromKeeper) => port.postMessage(stop));
port.on("message", (message: ToKeeper) => renewer.take(message));
void listenForStops(data.connection, data.workerId, (runId, directive) =>
  renewer.stop(runId, directive, "The server said so."),
);
