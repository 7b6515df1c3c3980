import SchemaBuilder from "@pothos/core";
import ComplexityPlugin from "@pothos/plugin-complexity";
import ErrorsPlugin from "@pothos/plugin-errors";
import PrismaPlugin from "@pothos/plugin-prisma";
import RelayPlugin from "@pothos/plugin-relay";
import ValidationPlugin from "@pothos/plugin-validation";
import { GraphQLError, type GraphQLResolveInfo, isObjectType } from "graphql";
import type PrismaTypes from "../db/generated/pothos-types.ts";
import { getDatamodel } from "../db/generated/pothos-types.ts";
import type { JsonValue } from "../db/rows.ts";
import { within } from "../db/scope.ts";
import { InvalidInputError } from "../errors.ts";
import { ALL_ISSUES, refusalOf } from "./input-issues.ts";
import { JOB_READS } from "./job-reads-plugin.ts";
import { OUTCOME } from "./outcome-plugin.ts";
import { PERMISSION } from "./permission-plugin.ts";
import "./issue-text.ts";
import type { GraphQLContext } from "./context.ts";
import type { Viewer } from "./viewer.ts";

/** Rows of a page: the number where neither `first` nor `last` is given, and the largest number allowed. */
export const PAGE = { default: 20, max: 100 };

/**
 * The limits of one operation: how many fields its answer can have, how deep it is nested, and how many fields it
 * selects. They are checked before it runs.
 */
export const LIMIT = { complexity: 25_000, depth: 15, breadth: 600 };
/**
 * The complexity of `edges` and `nodes`. Their connection multiplies by the rows of the page; they must not do so
 * again.
 */
const COUNTED_BY_CONNECTION = { field: 1, multiplier: 1 };

/**
 * The complexity of a connection.
 * @returns its own cost, and the rows of the page, by which the cost of everything below it is multiplied.
 */
export function pageComplexity(args: { first?: number | null | undefined; last?: number | null | undefined }) {
  return { field: 1, multiplier: args.first ?? args.last ?? PAGE.default };
}

export const builder = new SchemaBuilder<{
  Context: GraphQLContext;
  PrismaTypes: PrismaTypes;
  DefaultFieldNullability: false;
  DefaultEdgesNullability: { list: false; items: false };
  DefaultNodeNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    UUID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    JSON: { Input: JsonValue; Output: unknown };
    SafeInt: { Input: number; Output: number | bigint };
    Cursor: { Input: string; Output: string };
  };
}>({
  // The errors plugin must come before validation: only then does an error of validation become a member of the union.
  plugins: [
    ErrorsPlugin,
    RelayPlugin,
    PrismaPlugin,
    PERMISSION,
    JOB_READS,
    OUTCOME,
    ALL_ISSUES,
    ValidationPlugin,
    ComplexityPlugin,
  ],
  defaultFieldNullability: false,
  prisma: {
    client: (context) => context.engine.prisma,
    dmmf: getDatamodel(),
    exposeDescriptions: false,
    onUnusedQuery: null,
  },
  relay: {
    decodeGlobalID: (globalId) => {
      // What is no global id gets a type that no object has: `node` refuses it, and `nodes` answers null in its place.
      const [, typename = "", id = ""] = /^(\w+):(.+)$/s.exec(Buffer.from(globalId, "base64").toString()) ?? [];
      return { typename, id };
    },
    edgesFieldOptions: {
      description: "The rows of this page, each with its cursor.",
      complexity: COUNTED_BY_CONNECTION,
    },
    nodeFieldOptions: { description: "The row." },
    nodesOnConnection: { description: "The rows of this page.", complexity: COUNTED_BY_CONNECTION },
    cursorFieldOptions: { description: "The row's position in the list; pass it as `after` or `before`." },
    pageInfoFieldOptions: { description: "Where the page begins and ends, and whether there are more rows." },
    pageInfoTypeOptions: { description: "Where a page begins and ends, and whether there are more rows (Relay)." },
    nodeTypeOptions: { description: "An object that can be loaded by its global id (Relay)." },
    nodeQueryOptions: {
      permission: "ANY_PRINCIPAL",
      description:
        "An object by its global id; null if the workspace has no such object, or the caller lacks the permission to read it.",
      args: { id: { description: "The global id." } },
      resolve: (_root, { id }, { viewer }, info, resolveNode) => {
        assertNodeType(info, id);
        return mayLoad(info, id, viewer) ? within(viewer.scope, async () => resolveNode(id)) : null;
      },
    },
    nodesQueryOptions: {
      permission: "ANY_PRINCIPAL",
      description:
        "Objects by their global ids, in the order of the ids; null for each that is no global id, that the workspace does not " +
        "have, or that the caller lacks the permission to read.",
      args: { ids: { description: `The global ids; at most ${PAGE.max}.` } },
      resolve: (_root, { ids }, { viewer }, info, resolveNodes) => {
        if (ids.length > PAGE.max) throw new InvalidInputError(["ids"], `At most ${PAGE.max} ids at once.`);
        // Pothos reads the ids from the arguments again, and takes null for an id of nothing.
        for (const [index, id] of ids.entries()) {
          if (!isNodeType(info, id) || !mayLoad(info, id, viewer)) Reflect.set(ids, index, null);
        }
        return within(viewer.scope, async () => resolveNodes(ids));
      },
    },
    idFieldOptions: { description: "The global id." },
    defaultConnectionTypeOptions: { description: "A page of a list, with the cursors to read on." },
    defaultEdgeTypeOptions: { description: "A row and its position in the list." },
    firstArgOptions: {
      description: `The number of rows from the start: 1 to ${PAGE.max}; ${PAGE.default} if neither first nor last is given.`,
    },
    afterArgOptions: { description: "Only rows after this cursor." },
    lastArgOptions: { description: `The number of rows from the end: 1 to ${PAGE.max}. Not together with first.` },
    beforeArgOptions: { description: "Only rows before this cursor." },
    hasNextPageFieldOptions: { description: "Whether more rows follow this page." },
    hasPreviousPageFieldOptions: { description: "Whether more rows precede this page." },
    startCursorFieldOptions: { description: "The cursor of the first row; null on an empty page." },
    endCursorFieldOptions: { description: "The cursor of the last row; null on an empty page." },
  },
  errors: {
    unsafelyHandleInputErrors: true,
    defaultUnionOptions: { name: ({ fieldName }) => `${capitalise(fieldName)}Result` },
  },
  validation: {
    validationError: ({ issues }) => {
      const found = issues.map(({ path = [], message }) => ({
        path: path.map((step) => String(typeof step === "object" ? step.key : step)),
        message,
      }));
      return refusalOf(found);
    },
  },
  complexity: {
    limit: LIMIT,
    defaultListMultiplier: 10,
    complexityError: (kind, { complexity, depth, breadth }) =>
      new GraphQLError(
        `The operation asks for too much (${kind.toLowerCase()}): complexity ${complexity} of ${LIMIT.complexity}, depth ` +
          `${depth} of ${LIMIT.depth}, breadth ${breadth} of ${LIMIT.breadth}. Ask for smaller pages or fewer fields.`,
        { extensions: { code: "INVALID_INPUT" } },
      ),
  },
});

/**
 * A global id can name any type, but only types that implement Node can be loaded by one.
 * @throws InvalidInputError for another type. Without this check the schema builder would fail with a masked error.
 */
function assertNodeType(info: GraphQLResolveInfo, id: { readonly typename: string }): void {
  if (!isNodeType(info, id)) throw notGlobalId();
}

function isNodeType({ schema }: GraphQLResolveInfo, { typename }: { readonly typename: string }): boolean {
  const type = schema.getType(typename);
  return isObjectType(type) && type.getInterfaces().some(({ name }) => name === "Node");
}

/**
 * Whether the caller has the permission that the type names in its extensions, or the other one with which the type loads a part of its
 * objects; of a type that names none, nobody does.
 */
function mayLoad({ schema }: GraphQLResolveInfo, { typename }: { readonly typename: string }, viewer: Viewer): boolean {
  const { permission, partlyWith } = schema.getType(typename)?.extensions ?? {};
  return (
    permission === "ANY_PRINCIPAL" || [...viewer.permissions].some((each) => each === permission || each === partlyWith)
  );
}

function notGlobalId() {
  return new InvalidInputError(["id"], "This is not a global id: pass one that this server returned, unchanged.");
}

function capitalise(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}
