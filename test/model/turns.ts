import type { Job, World } from "./world.ts";

/** Section 6, "Claim": the turns of workspaces, for a worker that serves all of them. */

const WORKSPACES = [0, 1, 2];

/** The workspaces in the order of their turns, beginning after the one that was served last. */
function rotationOrder({ lastTurn }: World): readonly number[] {
  return [
    ...WORKSPACES.filter((workspace) => workspace > lastTurn),
    ...WORKSPACES.filter((workspace) => workspace <= lastTurn),
  ];
}

export const byUrgency = (one: Job, other: Job): number =>
  other.submit.priority - one.submit.priority || one.number - other.number;

/** Selects up to `limit` jobs in rounds: in each, the most urgent remaining job of every workspace. */
export function assignRoundRobin(world: World, due: readonly Job[], limit: number): readonly Job[] {
  const queues = rotationOrder(world).map((workspace) =>
    due.filter(({ submit }) => submit.workspace === workspace).toSorted(byUrgency),
  );
  const rounds = due.map((_, round) => queues.flatMap((queue) => queue[round] ?? []));
  return rounds.flat().slice(0, limit);
}

/** Moves the turn to the last workspace that was served in the last round. A claim without jobs does not move it. */
export function advanceRotation(world: World, served: readonly Job[]): void {
  const times = (workspace: number) => served.filter(({ submit }) => submit.workspace === workspace).length;
  const max = Math.max(...WORKSPACES.map(times));
  if (max > 0) world.lastTurn = rotationOrder(world).findLast((workspace) => times(workspace) === max) ?? -1;
}
