import type { Job, World } from "./world.ts";

/** Section 6, "Claim", of a worker that serves every workspace: each has its turn. */

const WORKSPACES = [0, 1, 2];

/** Workspaces in the order of their turns: after the one that was served last, and then from the beginning. */
function rotationOrder({ lastTurn }: World): readonly number[] {
  return [...WORKSPACES.filter((it) => it > lastTurn), ...WORKSPACES.filter((it) => it <= lastTurn)];
}

export const byUrgency = (one: Job, other: Job): number =>
  other.submit.priority - one.submit.priority || one.number - other.number;

/** Of these jobs so many, round by round: in each, every workspace that has one left gives its most urgent. */
export function assignRoundRobin(world: World, due: readonly Job[], limit: number): readonly Job[] {
  const queues = rotationOrder(world).map((workspace) =>
    due.filter(({ submit }) => submit.workspace === workspace).toSorted(byUrgency),
  );
  const rounds = due.map((_, round) => queues.flatMap((queue) => queue[round] ?? []));
  return rounds.flat().slice(0, limit);
}

/** Whoever was served in the last round, last of them, has had its turn; a claim that took nothing passes none. */
export function advanceRotation(world: World, served: readonly Job[]): void {
  const times = (workspace: number) => served.filter(({ submit }) => submit.workspace === workspace).length;
  const max = Math.max(...WORKSPACES.map(times));
  if (max > 0) world.lastTurn = rotationOrder(world).findLast((workspace) => times(workspace) === max) ?? -1;
}
