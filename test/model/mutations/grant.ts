import fc from "fast-check";
import { testSide } from "../../support/database.ts";
import type { Draw } from "../draw.ts";
import type { Real } from "../real.ts";
import { mutation } from "../step.ts";
import { isActive, type World } from "../world.ts";

const CAPABILITIES = { default: ["doc.read", "doc.summarize"], terminal: ["term.exec"] } as const;

const PROFILES = ["default", "terminal"] as const;

interface Grant {
  readonly profile: keyof typeof CAPABILITIES;
  /** Whether the profile gets all its initial capabilities, or none. */
  readonly all: boolean;
}

/** Changes what a profile grants while jobs use it (section 8). */
export const grant = mutation<Grant>("grant", {
  expected: (world, { profile, all }) => {
    world.profiles.set(profile, all ? CAPABILITIES[profile] : []);
    return {};
  },
  actual: async ({ engine }, { profile, all }) => {
    await testSide(engine).capabilityProfile.update({
      where: { id: profile },
      data: { capabilities: all ? [...CAPABILITIES[profile]] : [] },
    });
    return {};
  },
});

/** Restores the profiles, which all workspaces share, for the next sequence. */
export async function restoreGrants({ profiles }: World, real: Real): Promise<void> {
  const revoked = PROFILES.filter((profile) => !grantsAll(profile, profiles));
  for (const profile of revoked) await grant({ profile, all: true }).actual(real);
}

/** Revokes a profile's capabilities while a worker needs them. */
export const revokes: fc.Arbitrary<Draw> = fc.constantFrom<Grant["profile"][]>("default", "default", "terminal").map(
  (profile): Draw =>
    ({ claims, profiles }) =>
      claims.some((run) => isActive(run) && run.job.profile === profile) && grantsAll(profile, profiles)
        ? grant({ profile, all: false })
        : null,
);

/** What was taken away is soon given back: without it nothing can be started, and little happens. */
export const restores: fc.Arbitrary<Draw> = fc.constantFrom(true, false, false).map(
  (now): Draw =>
    ({ profiles }) => {
      const revoked = PROFILES.find((profile) => !grantsAll(profile, profiles));
      return now && revoked ? grant({ profile: revoked, all: true }) : null;
    },
);

function grantsAll(profile: Grant["profile"], profiles: World["profiles"]): boolean {
  return profiles.get(profile)?.length === CAPABILITIES[profile].length;
}
