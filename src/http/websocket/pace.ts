import type { RawData, WebSocket } from "ws";

/** Messages and pings of one socket that are handled at once, and how many more each second: many times what a client needs. */
const BURST = 100;
const PER_SECOND = 300;
/** Bytes for which a message counts as one more. */
const BYTES = 64 * 1024;

/**
 * Reads from a socket no faster than a client needs: one that begins and ends thousands of operations a second would keep all
 * others waiting. What it has sent too fast waits in its own connection; nothing is lost or refused.
 */
export function pace(socket: WebSocket): void {
  let credit = BURST;
  let countedAt = performance.now();
  const take = (data: RawData) => {
    const messages = 1 + (Buffer.isBuffer(data) ? Math.floor(data.length / BYTES) : 0);
    const now = performance.now();
    credit = Math.min(BURST, credit + ((now - countedAt) * PER_SECOND) / 1000) - messages;
    countedAt = now;
    if (credit >= 0 || socket.isPaused) return;
    socket.pause();
    setTimeout(() => socket.resume(), (-credit * 1000) / PER_SECOND + 100).unref();
  };
  socket.on("message", take);
  socket.on("ping", take);
}
