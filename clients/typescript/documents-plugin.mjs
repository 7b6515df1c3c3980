// A plugin of graphql-codegen: each operation of the documents as a constant, with its text and its definitions, and its types by those
// that the plugin typescript-operations has written before into the same file.
import { Kind, parse, print, stripIgnoredCharacters, visit } from "graphql";

export function plugin(_schema, documents, { documentModule = "./document.ts" }) {
  return {
    prepend: [`import { document } from "${documentModule}";`],
    content: textsOf(documents).map(constantOf).join("\n"),
  };
}

/** @returns each operation of the documents: its name, its type, and its text with the fragments that it needs. */
export function textsOf(documents) {
  const definitions = documents.flatMap(({ document }) => document.definitions);
  const fragments = new Map(definitions.filter(isFragment).map((each) => [each.name.value, each]));
  return definitions
    .filter(({ kind }) => kind === Kind.OPERATION_DEFINITION)
    .map((operation) => {
      const used = new Set();
      addFragments(operation, fragments, used);
      const text = stripIgnoredCharacters([operation, ...used].map(print).join("\n"));
      return { name: operation.name.value, type: operation.operation, text };
    });
}

function isFragment({ kind }) {
  return kind === Kind.FRAGMENT_DEFINITION;
}

function constantOf({ name, type, text }) {
  const { definitions } = parse(text, { noLocation: true });
  const typeName = `${name}${type[0].toUpperCase()}${type.slice(1)}`;
  const args = `${JSON.stringify(text)}, ${JSON.stringify(definitions)}`;
  return `export const ${name} = /* @__PURE__ */ document<${typeName}, ${typeName}Variables>(${args});`;
}

/** The fragments that are spread in a node, and in those. */
function addFragments(node, fragments, used) {
  visit(node, {
    FragmentSpread({ name }) {
      const fragment = fragments.get(name.value);
      if (!fragment || used.has(fragment)) return;
      used.add(fragment);
      addFragments(fragment, fragments, used);
    },
  });
}
