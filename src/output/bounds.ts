/** The bounds of partial output (section 13); those of a chunk and a run are checks of the table `output_chunks`, too. */

/** The most bytes of UTF-8 of a chunk, and of all chunks of a run. */
export const MAX_CHUNK_BYTES = 16 * 1024;
export const MAX_RUN_BYTES = 4 * 1024 * 1024;
/** The most chunks of a run: all of them are deleted in the transaction that poisons their job, which must stay short. */
export const MAX_RUN_CHUNKS = 65_536;
/** The most chunks of a call, and their bytes together. */
export const MAX_CALL_CHUNKS = 100;
export const MAX_CALL_BYTES = 1024 * 1024;
