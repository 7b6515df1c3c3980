import { codeOf, faultsOf, messageOf } from "../api/errors.ts";

export interface RefusedProps {
  readonly error: unknown;
  /** The fields at which a fault is shown already. */
  readonly fields?: readonly string[];
}

/** What stands in a form that was refused: all that no field of it shows. */
export function Refused({ error, fields = [] }: RefusedProps) {
  if (error === null) return null;
  const faults = [...faultsOf(error)];
  const others = faults.filter(([name]) => !fields.includes(name));
  const code = codeOf(error);
  return (
    <div role="alert" className="notice notice-error">
      {faults.length === 0 || others.length > 0 ? (
        <p>
          {code && <code>{code}</code>} {messageOf(error)}
        </p>
      ) : (
        <p>Not done: a field above is not valid.</p>
      )}
      {faults.length > 0 && others.length > 0 && (
        <ul>
          {others.map(([name, message]) => (
            <li key={name}>
              {name}: {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
