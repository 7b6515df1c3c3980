import { asUuid, NIL_UUID } from "../uuid.ts";

/** A position in the event log: right after the event that the triple identifies (section 4, order of the log). */
export interface LogPosition {
  readonly orderXid: bigint;
  readonly jobId: string;
  readonly version: number;
  /**
   * The hash of that event; a prefix of it in a position that was decoded. The log continues from here only where the event
   * still stands with this hash (section 10). Empty before the first event.
   */
  readonly hash: string;
}

/** The position before the first event. */
export const LOG_START: LogPosition = { orderXid: 0n, jobId: NIL_UUID, version: 0, hash: "" };

/** The position of a job's latest event. */
export function positionOf(job: Omit<LogPosition, "hash"> & { readonly chainHash: string }): LogPosition {
  const { orderXid, jobId, version, chainHash } = job;
  return { orderXid, jobId, version, hash: chainHash };
}

/**
 * The most positions that one cursor can carry beside its own; so also the most snapshots that a subscription begins
 * with.
 */
export const MAX_SNAPSHOT_POSITIONS = 100;
/** The bytes of one packed position: order_xid (8), job id (16), version (4), the beginning of the hash (8). */
const POSITION_BYTES = 36;
/** How many hexadecimal digits of its event's hash a cursor has: enough to tell two events under one position apart. */
const HASH_DIGITS = 16;

/**
 * The longest cursor, in characters: its own position takes at most 200, and every 3 bytes of the others 4.
 */
export const MAX_CURSOR_LENGTH = 200 + Math.ceil((MAX_SNAPSHOT_POSITIONS * POSITION_BYTES * 4) / 3);

/** The content of a cursor. */
export interface DecodedCursor {
  /** The id of the log that the cursor belongs to. */
  readonly epoch: string;
  readonly position: LogPosition;
  /**
   * The positions of the snapshots that are newer than `position`. The client has the events of these jobs up to there,
   * so they must not be sent again.
   */
  readonly snapshotPositions?: readonly LogPosition[];
}

const FORMAT_VERSION = "1";

/**
 * Encodes a cursor as section 9 describes it: base64url of the format's version, the epoch and the position; then, if
 * there are any, a dot and the packed positions of `snapshotPositions`.
 */
export function encodeCursor(
  epoch: string,
  position: LogPosition,
  snapshotPositions: readonly LogPosition[] = [],
): string {
  const { orderXid, jobId, version, hash } = position;
  const parts = [FORMAT_VERSION, epoch, orderXid, jobId, version, hash.slice(0, HASH_DIGITS)];
  const encodedPosition = Buffer.from(parts.join(" ")).toString("base64url");
  return snapshotPositions.length === 0
    ? encodedPosition
    : `${encodedPosition}.${Buffer.concat(snapshotPositions.map(pack)).toString("base64url")}`;
}

/** Decodes a cursor; undefined if the text is not a cursor that `encodeCursor` wrote. */
export function decodeCursor(cursor: string): DecodedCursor | undefined {
  const [encodedPosition = "", encodedSnapshotPositions = ""] = cursor.split(".", 2);
  const [format, epoch = "", xid = "", jobId = "", version = "", hash, ...rest] = Buffer.from(
    encodedPosition,
    "base64url",
  )
    .toString("utf8")
    .split(" ");
  const isWellFormed =
    format === FORMAT_VERSION &&
    hash !== undefined &&
    rest.length === 0 &&
    asUuid(epoch) === epoch &&
    asUuid(jobId) === jobId &&
    /^\d{1,18}$/.test(xid) &&
    /^\d{1,9}$/.test(version) &&
    (jobId === NIL_UUID ? hash === "" : /^[0-9a-f]{16}$/.test(hash));
  if (!isWellFormed) return undefined;
  const position = { orderXid: BigInt(xid), jobId, version: Number(version), hash };
  const snapshotPositions = unpack(Buffer.from(encodedSnapshotPositions, "base64url"));
  // Node's base64 decoder accepts many spellings of the same bytes. Only the one that is encoded here is a cursor.
  if (snapshotPositions.length > MAX_SNAPSHOT_POSITIONS || encodeCursor(epoch, position, snapshotPositions) !== cursor)
    return undefined;
  return { epoch, position, ...(snapshotPositions.length === 0 ? {} : { snapshotPositions }) };
}

function pack({ orderXid, jobId, version, hash }: LogPosition): Buffer {
  const bytes = Buffer.alloc(POSITION_BYTES);
  bytes.writeBigUInt64BE(orderXid);
  bytes.write(jobId.replaceAll("-", ""), 8, "hex");
  bytes.writeUInt32BE(version, 24);
  bytes.write(hash.slice(0, HASH_DIGITS), 28, "hex");
  return bytes;
}

function unpack(bytes: Buffer): LogPosition[] {
  return Array.from({ length: Math.floor(bytes.length / POSITION_BYTES) }, (_, index) => {
    const packed = bytes.subarray(index * POSITION_BYTES, (index + 1) * POSITION_BYTES);
    const jobId = packed.toString("hex", 8, 24).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    const hash = packed.toString("hex", 28);
    return { orderXid: packed.readBigUInt64BE(), jobId, version: packed.readUInt32BE(24), hash };
  });
}

/** Compares positions in log order: negative if `a` comes before `b`, 0 if they are equal, positive otherwise. */
export function comparePositions(a: Omit<LogPosition, "hash">, b: Omit<LogPosition, "hash">): number {
  if (a.orderXid !== b.orderXid) return a.orderXid < b.orderXid ? -1 : 1;
  if (a.jobId !== b.jobId) return a.jobId < b.jobId ? -1 : 1;
  return a.version - b.version;
}
