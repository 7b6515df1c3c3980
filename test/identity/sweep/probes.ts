import { idPathsOf, type RootField, type Values } from "./root-fields.ts";
import { VALUES } from "./values.ts";
import type { FilledWorkspace } from "./workspace.ts";

/** One request about something of a workspace, and the same about what never existed. */
export interface Probe {
  /** The ids that are of the workspace. Others, where the field requires them, never existed. */
  readonly paths: readonly string[];
  readonly values: Values;
  readonly neverExisted: Values;
}

/**
 * Makes the probes of a field: for each of its ids the values of a workspace, together with those that are required beside it. Where
 * several are required, each is also sent alone, between others that never existed.
 * @param toNeverExisted makes, of a value, one of the same form that names nothing.
 * @throws Error where `VALUES` does not say what to send for an id.
 */
export function probesOf(
  rootField: RootField,
  workspace: FilledWorkspace,
  toNeverExisted: (value: string, path: string) => string,
): readonly Probe[] {
  const ids = idPathsOf(rootField).map((id) => ({ ...id, values: valuesAt(id.path, workspace) }));
  const known = ids.flatMap(({ values, ...id }) => (values ? [{ ...id, values }] : []));
  const required = known.filter(({ isRequired }) => isRequired);
  const others = known.filter(({ isRequired }) => !isRequired);
  const probe = (index: number, sent: typeof known, ofWorkspace: typeof known): Probe => {
    const values = sent.map(({ path, values }) => [path, values[index % values.length] ?? ""] as const);
    const neverExisted = Object.fromEntries(values.map(([path, value]) => [path, toNeverExisted(value, path)]));
    const paths = ofWorkspace.map(({ path }) => path);
    const own = values.filter(([path]) => paths.includes(path));
    return { paths, values: { ...neverExisted, ...Object.fromEntries(own) }, neverExisted };
  };
  const count = Math.max(0, ...required.map(({ values }) => values.length));
  const together = Array.from({ length: count }, (_, index) => probe(index, required, required));
  const alone = required.length > 1 ? required.map((id) => probe(0, required, [id])) : [];
  const optional = others.flatMap((id) => {
    const sent = [...required, id];
    const probes = id.values.map((_, index) => probe(index, sent, sent));
    // With the other required ids never existing; once, because what is sent twice may have another answer then.
    return required.length === 0 || id.values.length === 1
      ? probes
      : [...probes.slice(0, -1), probe(probes.length - 1, sent, [id])];
  });
  return [...together, ...alone, ...optional];
}

function valuesAt(path: string, workspace: FilledWorkspace): readonly string[] | undefined {
  if (!(path in VALUES))
    throw new Error(
      `${path} is an id that the sweep does not know. Say in values.ts what of a workspace to send for it.`,
    );
  const values = VALUES[path]?.(workspace);
  if (values?.length === 0) throw new Error(`The workspace has nothing to send for ${path}.`);
  return values;
}
