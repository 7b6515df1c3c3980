import { asUuid } from "../uuid.ts";

/** A place in the event log: after the event that the triple names (section 4). */
export interface LogPosition {
  readonly orderXid: bigint;
  readonly jobId: string;
  readonly version: number;
}

/** Places beyond its own that one cursor holds, at most: so many snapshots does a subscription begin with. */
export const MAX_DELIVERED_AHEAD = 100;
/** Bytes of one of them: transaction id, job and version. */
const HELD_BYTES = 28;

/** What a cursor says. */
export interface DecodedCursor {
  readonly epoch: string;
  readonly position: LogPosition;
  /** Of jobs that were told as they were beyond the position: what comes up to there has been told. */
  readonly deliveredAhead?: readonly LogPosition[];
}

const VERSION = "1";

/** The opaque text that a client keeps: the format's version, the log it is of, and the triple; then what is held. */
export function encodeCursor(epoch: string, position: LogPosition, held: readonly LogPosition[] = []): string {
  const parts = [VERSION, epoch, position.orderXid, position.jobId, position.version];
  const place = Buffer.from(parts.join(" ")).toString("base64url");
  return held.length === 0 ? place : `${place}.${Buffer.concat(held.map(pack)).toString("base64url")}`;
}

/** What a cursor says; undefined where the text is no cursor of this server's. */
export function decodeCursor(cursor: string): DecodedCursor | undefined {
  const [place = "", packed = ""] = cursor.split(".", 2);
  const [format, epoch = "", xid = "", jobId = "", version = "", ...rest] = Buffer.from(place, "base64url")
    .toString("utf8")
    .split(" ");
  const wellFormed =
    format === VERSION &&
    rest.length === 0 &&
    asUuid(epoch) === epoch &&
    asUuid(jobId) === jobId &&
    /^\d{1,18}$/.test(xid) &&
    /^\d{1,9}$/.test(version);
  if (!wellFormed) return undefined;
  const position = { orderXid: BigInt(xid), jobId, version: Number(version) };
  const held = unpack(Buffer.from(packed, "base64url"));
  // Base64 is read generously: what does not come out as it went in was not written here.
  if (held.length > MAX_DELIVERED_AHEAD || encodeCursor(epoch, position, held) !== cursor) return undefined;
  return { epoch, position, ...(held.length === 0 ? {} : { deliveredAhead: held }) };
}

function pack({ orderXid, jobId, version }: LogPosition): Buffer {
  const bytes = Buffer.alloc(HELD_BYTES);
  bytes.writeBigUInt64BE(orderXid);
  bytes.write(jobId.replaceAll("-", ""), 8, "hex");
  bytes.writeUInt32BE(version, 24);
  return bytes;
}

function unpack(bytes: Buffer): LogPosition[] {
  return Array.from({ length: Math.floor(bytes.length / HELD_BYTES) }, (_, index) => {
    const one = bytes.subarray(index * HELD_BYTES, (index + 1) * HELD_BYTES);
    const jobId = one.toString("hex", 8, 24).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    return { orderXid: one.readBigUInt64BE(), jobId, version: one.readUInt32BE(24) };
  });
}

/** The log's own order: negative where `a` comes before `b`. */
export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.orderXid !== b.orderXid) return a.orderXid < b.orderXid ? -1 : 1;
  if (a.jobId !== b.jobId) return a.jobId < b.jobId ? -1 : 1;
  return a.version - b.version;
}
