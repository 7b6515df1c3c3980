import fc from "fast-check";
import type { Real } from "../real.ts";
import { type Draw, mutation } from "../step.ts";

const CAPABILITIES = { default: ["doc.read", "doc.summarize"], terminal: ["term.exec"] } as const;

interface Grant {
  readonly profile: keyof typeof CAPABILITIES;
  /** All that the profile has at first, or nothing. */
  readonly all: boolean;
}

/** What a profile grants changes under the jobs that have it (section 8). */
export const grant = mutation<Grant>("grant", {
  expected: (world, { profile, all }) => {
    world.profiles.set(profile, all ? CAPABILITIES[profile] : []);
    return {};
  },
  actual: async ({ engine }, { profile, all }) => {
    await engine.prisma.capabilityProfile.update({
      where: { id: profile },
      data: { capabilities: all ? [...CAPABILITIES[profile]] : [] },
    });
    return {};
  },
});

/** Profiles are shared by all workspaces: as they were, for the next sequence. */
export async function restoreGrants(real: Real): Promise<void> {
  for (const profile of ["default", "terminal"] as const) await grant({ profile, all: true }).actual(real);
}

export const grants: fc.Arbitrary<Draw> = fc
  .record({
    profile: fc.constantFrom<Grant["profile"][]>("default", "terminal"),
    all: fc.constantFrom(true, true, false),
  })
  .map(
    (input): Draw =>
      (world) => {
        const has = (world.profiles.get(input.profile)?.length ?? 0) > 0;
        return has === input.all ? null : grant(input);
      },
  );
