// What a worker thread loads first. A thread has no loader for TypeScript of its own, so it is registered here.
import { register } from "tsx/esm/api";

register();
export const { hashCanonically, scan } = await import("./tasks.ts");
