import { allExpanded, collapseAllNested, JsonView } from "react-json-view-lite";
import "react-json-view-lite/dist/index.css";
import { useMemo, useState } from "react";
import { Button } from "./button.tsx";
import { Copy } from "./copy.tsx";

/** The most characters of a value that are drawn before the person asks for all of it: more would hold up the page. */
const MAX_DRAWN = 20_000;
/** Up to so many it is shown unfolded. */
const SMALL = 2000;

/** A JSON value, foldable, with what it is called; a text is shown as one. */
export function Json({ value, what }: { readonly value: unknown; readonly what: string }) {
  const text = useMemo(() => (typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "null")), [value]);
  const [isWhole, setIsWhole] = useState(false);
  if (value === null || value === undefined) return <p className="quiet">None.</p>;
  const isLong = text.length > MAX_DRAWN;
  const isObject = typeof value === "object";
  return (
    <div className="json">
      <div className="json-bar">
        <span className="quiet">{text.length.toLocaleString()} characters</span>
        <Copy text={text} what={what} />
        {isLong && !isWhole && <Button onPress={() => setIsWhole(true)}>Show all of it</Button>}
      </div>
      {isObject && (!isLong || isWhole) ? (
        <JsonView
          data={value}
          shouldExpandNode={text.length < SMALL ? allExpanded : collapseAllNested}
          style={JSON_LOOKS}
          aria-label={what}
        />
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
        <section className="text" dir="auto" tabIndex={0} aria-label={what}>
          {isWhole ? text : text.slice(0, MAX_DRAWN)}
          {isLong && !isWhole && "…"}
        </section>
      )}
    </div>
  );
}

/** The library's names of classes, with ours for the colours. */
const JSON_LOOKS = {
  container: "json-tree",
  basicChildStyle: "json-child",
  childFieldsContainer: "json-children",
  label: "json-label",
  clickableLabel: "json-label",
  nullValue: "json-null",
  undefinedValue: "json-null",
  numberValue: "json-number",
  stringValue: "json-string",
  booleanValue: "json-number",
  otherValue: "json-string",
  punctuation: "json-mark",
  expandIcon: "json-expand",
  collapseIcon: "json-collapse",
  collapsedContent: "json-collapsed",
  noQuotesForStringValues: false,
  quotesForFieldNames: false,
  ariaLables: { collapseJson: "Fold", expandJson: "Unfold" },
  stringifyStringValues: true,
};
