/** A place in the event log: after the event that the triple names (section 4). */
export interface LogPosition {
  readonly orderXid: bigint;
  readonly jobId: string;
  readonly version: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const VERSION = "1";

/** The opaque text that a client keeps: the format's version, the log it is of, and the triple. */
export function encodeCursor(epoch: string, position: LogPosition): string {
  const parts = [VERSION, epoch, position.orderXid, position.jobId, position.version];
  return Buffer.from(parts.join(" ")).toString("base64url");
}

/** The epoch and position in a cursor; undefined where the text is no cursor of this server's. */
export function decodeCursor(cursor: string): { readonly epoch: string; readonly position: LogPosition } | undefined {
  const [format, epoch = "", xid = "", jobId = "", version = "", ...rest] = Buffer.from(cursor, "base64url")
    .toString("utf8")
    .split(" ");
  const wellFormed =
    format === VERSION &&
    rest.length === 0 &&
    UUID.test(epoch) &&
    UUID.test(jobId) &&
    /^\d{1,18}$/.test(xid) &&
    /^\d{1,9}$/.test(version);
  if (!wellFormed) return undefined;
  const position = { orderXid: BigInt(xid), jobId, version: Number(version) };
  // Base64 is read generously: what does not come out as it went in was not written here.
  return encodeCursor(epoch, position) === cursor ? { epoch, position } : undefined;
}

/** The log's own order: negative where `a` comes before `b`. */
export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.orderXid !== b.orderXid) return a.orderXid < b.orderXid ? -1 : 1;
  if (a.jobId !== b.jobId) return a.jobId < b.jobId ? -1 : 1;
  return a.version - b.version;
}
