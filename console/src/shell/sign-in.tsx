import { type SyntheticEvent, useState } from "react";
import { Form } from "react-aria-components";
import { beginSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { TextInput } from "../ui/fields.tsx";

/** Asks for a key, and exchanges it for a cookie. */
export function SignIn({ onSignedIn }: { readonly onSignedIn: () => void }) {
  const [key, setKey] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setIsBusy(true);
    void beginSession(key.trim()).then((why) => {
      setIsBusy(false);
      setFailure(why);
      if (why === null) onSignedIn();
    });
  };
  return (
    <main className="alone">
      <h1>AI Job Server</h1>
      <Form onSubmit={submit}>
        <TextInput
          label="Your key"
          hint="An API key, a token, or the operator's key. It is exchanged for a session of 12 hours and kept nowhere."
          type="password"
          autoComplete="off"
          value={key}
          onChange={setKey}
          error={failure ?? undefined}
          isRequired
          autoFocus
        />
        <Button look="primary" type="submit" isBusy={isBusy}>
          Sign in
        </Button>
      </Form>
    </main>
  );
}
