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
const POSITION_BYTES = 28;

/** What a cursor says. */
export interface DecodedCursor {
  readonly epoch: string;
  readonly position: LogPosition;
  /** Of jobs that were told as they were beyond the position: what comes up to there has been told. */
  readonly deliveredAhead?: readonly LogPosition[];
}

const FORMAT_VERSION = "1";

/** The opaque text that a client keeps: the format's version, the log it is of, and the triple; then what is held. */
export function encodeCursor(
  epoch: string,
  position: LogPosition,
  deliveredAhead: readonly LogPosition[] = [],
): string {
  const parts = [FORMAT_VERSION, epoch, position.orderXid, position.jobId, position.version];
  const encodedPosition = Buffer.from(parts.join(" ")).toString("base64url");
  return deliveredAhead.length === 0
    ? encodedPosition
    : `${encodedPosition}.${Buffer.concat(deliveredAhead.map(pack)).toString("base64url")}`;
}

/** What a cursor says; undefined where the text is no cursor of this server's. */
export function decodeCursor(cursor: string): DecodedCursor | undefined {
  const [encodedPosition = "", encodedAhead = ""] = cursor.split(".", 2);
  const [format, epoch = "", xid = "", jobId = "", version = "", ...rest] = Buffer.from(encodedPosition, "base64url")
    .toString("utf8")
    .split(" ");
  const isWellFormed =
    format === FORMAT_VERSION &&
    rest.length === 0 &&
    asUuid(epoch) === epoch &&
    asUuid(jobId) === jobId &&
    /^\d{1,18}$/.test(xid) &&
    /^\d{1,9}$/.test(version);
  if (!isWellFormed) return undefined;
  const position = { orderXid: BigInt(xid), jobId, version: Number(version) };
  const deliveredAhead = unpack(Buffer.from(encodedAhead, "base64url"));
  // Base64 is read generously: what does not come out as it went in was not written here.
  if (deliveredAhead.length > MAX_DELIVERED_AHEAD || encodeCursor(epoch, position, deliveredAhead) !== cursor)
    return undefined;
  return { epoch, position, ...(deliveredAhead.length === 0 ? {} : { deliveredAhead }) };
}

function pack({ orderXid, jobId, version }: LogPosition): Buffer {
  const bytes = Buffer.alloc(POSITION_BYTES);
  bytes.writeBigUInt64BE(orderXid);
  bytes.write(jobId.replaceAll("-", ""), 8, "hex");
  bytes.writeUInt32BE(version, 24);
  return bytes;
}

function unpack(bytes: Buffer): LogPosition[] {
  return Array.from({ length: Math.floor(bytes.length / POSITION_BYTES) }, (_, index) => {
    const packed = bytes.subarray(index * POSITION_BYTES, (index + 1) * POSITION_BYTES);
    const jobId = packed.toString("hex", 8, 24).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    return { orderXid: packed.readBigUInt64BE(), jobId, version: packed.readUInt32BE(24) };
  });
}

/** The log's own order: negative where `a` comes before `b`. */
export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.orderXid !== b.orderXid) return a.orderXid < b.orderXid ? -1 : 1;
  if (a.jobId !== b.jobId) return a.jobId < b.jobId ? -1 : 1;
  return a.version - b.version;
}
