import fc from "fast-check";
import type { Role } from "../../src/db/generated/client/enums.ts";
import type { EngineContext } from "../../src/engine.ts";
import { newApiKeySecret } from "../../src/identity/api-key.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { ok } from "../support/engine.ts";
import { OPERATOR } from "../support/guarded-server.ts";

/** Who sends drawn requests: the roles of two workspaces and of all, the operator, and those who prove nothing. */

export interface Caller {
  readonly authorization: string | undefined;
  /** The one workspace that it may see; null for one of the whole deployment, undefined for nobody. */
  readonly workspaceId: string | null | undefined;
}

/** What a key is for: it is made again where a drawn request has ended it. */
interface Purpose {
  readonly roles: readonly Role[];
  readonly workspaceId: string | null;
}

/** Who may do all is drawn as often as all others: otherwise most requests would be refused, and nothing would happen. */
const ROLES: readonly Role[] = [
  "ADMIN",
  "ADMIN",
  "ADMIN",
  "ADMIN",
  "ADMIN",
  "VIEWER",
  "SUBMITTER",
  "WORKER",
  "REVIEWER",
  "SECURITY",
];

export class Callers {
  readonly workspaceIds: string[] = [];
  readonly #engine: EngineContext;
  readonly #operatorKey: string;
  readonly #keys = new Map<Purpose, Caller>();

  constructor(engine: EngineContext, operatorKey: string) {
    this.#engine = engine;
    this.#operatorKey = operatorKey;
  }

  /** Makes the workspaces and all keys. */
  async make(): Promise<void> {
    for (const name of ["one", "other"]) {
      const { workspaceId } = ok(await createWorkspace(this.#engine, { name, workspaceId: null }));
      this.workspaceIds.push(workspaceId);
      for (const role of ROLES) await this.#makeKey({ roles: [role], workspaceId });
    }
    await this.#makeKey({ roles: ["ADMIN"], workspaceId: null });
    await this.#makeKey({ roles: ["VIEWER", "WORKER"], workspaceId: null });
  }

  /** @returns one of them; one in 12 proves nothing. */
  draw(draw: <Value>(arbitrary: fc.Arbitrary<Value>) => Value): Caller {
    const kind = draw(fc.nat(11));
    if (kind === 0) return { authorization: draw(fc.constantFrom(...NOBODY)), workspaceId: undefined };
    if (kind === 1) return { authorization: `Bearer ${this.#operatorKey}`, workspaceId: null };
    return draw(fc.constantFrom(...this.#keys.values()));
  }

  /** Makes a new key for a caller whose key has ended. */
  async renew(caller: Caller): Promise<void> {
    for (const [purpose, key] of this.#keys) if (key === caller) await this.#makeKey(purpose);
  }

  async #makeKey(purpose: Purpose): Promise<void> {
    const key = { name: "drawn", jobKinds: null, expiresAt: null, ...purpose };
    const { secret } = ok(await createApiKey(this.#engine, OPERATOR, key));
    this.#keys.set(purpose, { authorization: `Bearer ${secret}`, workspaceId: purpose.workspaceId });
  }
}

const NOBODY: readonly (string | undefined)[] = [
  undefined,
  "",
  "Bearer",
  "Bearer x",
  `Bearer ${newApiKeySecret()}`,
  `Bearer ${newApiKeySecret().slice(0, -1)}~`,
  `Basic ${newApiKeySecret()}`,
  `Bearer ${"a".repeat(8_000)}`,
  "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
];
