import type { InputIssue } from "@ai-job-server/sdk/client";
import { type SyntheticEvent, useState } from "react";
import { Form } from "react-aria-components";
import { Button } from "../ui/button.tsx";
import { SchemaField } from "./schema-field.tsx";
import { answerOf, draftOf, type Field, fieldOf } from "./schema-fields.ts";

export interface AnswerFormProps {
  /** The answers that there are, where the question names them. */
  readonly options: readonly string[];
  /** What an answer must be, as JSON Schema; null where it may be anything. */
  readonly schema: unknown;
  /** What the server found wrong with the last answer. */
  readonly issues: readonly InputIssue[];
  readonly onAnswer: (answer: unknown) => void;
}

/** A form for the answer to a question: a button for each option, or a field for each value of its schema. */
export function AnswerForm({ options, schema, issues, onAnswer }: AnswerFormProps) {
  if (options.length > 0)
    return (
      <div className="bar answers" role="group" aria-label="Answers">
        {options.map((option) => (
          <Button key={option} look="primary" onPress={() => onAnswer(option)}>
            <bdi>{option}</bdi>
          </Button>
        ))}
      </div>
    );
  return <SchemaForm field={fieldOf(schema)} issues={issues} onAnswer={onAnswer} />;
}

function SchemaForm({
  field,
  issues,
  onAnswer,
}: {
  readonly field: Field;
  readonly issues: readonly InputIssue[];
  readonly onAnswer: (answer: unknown) => void;
}) {
  const [draft, setDraft] = useState<unknown>(() => draftOf(field));
  const [faults, setFaults] = useState<ReadonlyMap<string, string>>(new Map());
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const { answer, faults: found } = answerOf(field, draft);
    setFaults(found);
    if (found.size === 0) onAnswer(answer);
  };
  // The server's words stand at the value that they are about.
  const all = new Map([...issues.map(({ path, message }) => [keyIn(path), message] as const), ...faults]);
  return (
    <Form className="form" onSubmit={submit}>
      <SchemaField field={field} path="" label="Answer" draft={draft} faults={all} onChange={setDraft} />
      {issues.length > 0 && (
        <ul role="alert" className="notice notice-error">
          {issues.map(({ path, message }) => (
            <li key={path.join(".")}>{message}</li>
          ))}
        </ul>
      )}
      <Button look="primary" type="submit">
        Answer
      </Button>
    </Form>
  );
}

/** @returns the place of an issue within the answer; the server names it from the input on. */
function keyIn(path: readonly string[]): string {
  const at = path.lastIndexOf("answer");
  return path.slice(at + 1).join(".");
}
