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
import { InvalidInputError } from "../errors.ts";
import type { GraphQLContext } from "./context.ts";

/** The largest page, and the one that is given where neither `first` nor `last` is. */
export const PAGE = { default: 20, max: 100 };

/** What one operation may cost: fields that it can answer with, counted before it runs. */
const LIMIT = { complexity: 25_000, depth: 15, breadth: 500 };
/** The rows of a page are counted by the connection that they are of. */
const COUNTED = { field: 1, multiplier: 1 };

/** What a connection costs: as many times what is below it as the page has rows. */
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
  // Errors before validation: what validation throws is then a member of the field's union.
  plugins: [ErrorsPlugin, RelayPlugin, PrismaPlugin, ValidationPlugin, ComplexityPlugin],
  defaultFieldNullability: false,
  prisma: {
    client: (context) => context.engine.prisma,
    dmmf: getDatamodel(),
    exposeDescriptions: false,
    onUnusedQuery: null,
  },
  relay: {
    decodeGlobalID: (globalId) => {
      const [, typename, id] = /^(\w+):(.+)$/s.exec(Buffer.from(globalId, "base64").toString()) ?? [];
      if (typename === undefined || id === undefined) throw notGlobalId();
      return { typename, id };
    },
    edgesFieldOptions: { description: "The rows of this page, each with its place.", complexity: COUNTED },
    nodeFieldOptions: { description: "The row." },
    nodesOnConnection: { description: "The rows of this page.", complexity: COUNTED },
    cursorFieldOptions: { description: "The row's place: pass it as `after` or `before`." },
    pageInfoFieldOptions: { description: "Whether there are rows before and after this page." },
    pageInfoTypeOptions: { description: "Where a page begins and ends (Relay)." },
    nodeTypeOptions: { description: "Anything that can be loaded again by its global id (Relay)." },
    nodeQueryOptions: {
      description: "Anything by its global id; null where there is none in this workspace.",
      args: { id: { description: "The global id." } },
      resolve: (_root, { id }, _context, info, resolveNode) => {
        assertNodeType(info, id);
        return resolveNode(id);
      },
    },
    nodesQueryOptions: {
      description: "Several things by their global ids, in their order; null where there is none in this workspace.",
      args: { ids: { description: `The global ids; at most ${PAGE.max}.` } },
      resolve: (_root, { ids }, _context, info, resolveNodes) => {
        if (ids.length > PAGE.max) throw new InvalidInputError(["ids"], `At most ${PAGE.max} ids at once.`);
        for (const id of ids) assertNodeType(info, id);
        return resolveNodes(ids);
      },
    },
    idFieldOptions: { description: "The global id." },
    defaultConnectionTypeOptions: { description: "A page of a list, and what it takes to read on." },
    defaultEdgeTypeOptions: { description: "A row and its place in the list." },
    firstArgOptions: {
      description: `How many rows from the start: 1 to ${PAGE.max}; ${PAGE.default} where neither first nor last is given.`,
    },
    afterArgOptions: { description: "Rows after this cursor only." },
    lastArgOptions: { description: `How many rows from the end: 1 to ${PAGE.max}.` },
    beforeArgOptions: { description: "Rows before this cursor only." },
    hasNextPageFieldOptions: { description: "Whether more rows follow this page." },
    hasPreviousPageFieldOptions: { description: "Whether rows come before this page." },
    startCursorFieldOptions: { description: "The place of the first row; null on an empty page." },
    endCursorFieldOptions: { description: "The place of the last row; null on an empty page." },
  },
  errors: {
    unsafelyHandleInputErrors: true,
    defaultUnionOptions: { name: ({ fieldName }) => `${capitalise(fieldName)}Result` },
  },
  validation: {
    validationError: ({ issues }) => {
      const [issue] = issues;
      const path = (issue?.path ?? []).map((step) => String(typeof step === "object" ? step.key : step));
      return new InvalidInputError(
        path,
        `${path.join(".")}: ${issue?.message ?? "is not valid"}. Nothing was changed.`,
      );
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

/** Any type's name can stand in a global id; only nodes can be loaded by one. */
function assertNodeType({ schema }: GraphQLResolveInfo, { typename }: { readonly typename: string }): void {
  const type = schema.getType(typename);
  if (!isObjectType(type) || !type.getInterfaces().some(({ name }) => name === "Node")) throw notGlobalId();
}

function notGlobalId() {
  return new InvalidInputError(["id"], "This is no global id: pass one that the server gave out, unchanged.");
}

function capitalise(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}
