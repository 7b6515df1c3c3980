import { Component, type ReactNode, useEffect, useState } from "react";
import { doubtConnection, isAnswering, onReconnection, useBrokenAt } from "../api/connection.ts";
import { messageOf } from "../api/errors.ts";
import { Button } from "../ui/button.tsx";
import { clock } from "../ui/time.tsx";
import { isLoadFailure } from "./lazy-views.ts";

interface Props {
  readonly children: ReactNode;
}

interface Failed {
  readonly error: unknown;
}

/** Stands around the view alone: where that fails, the menu and the banner stay. It is to have the address as its key, so that another view is tried anew. */
export class ViewBoundary extends Component<Props, { readonly failed: Failed | null }> {
  override readonly state: { readonly failed: Failed | null } = { failed: null };

  static getDerivedStateFromError(error: unknown): { readonly failed: Failed } {
    return { failed: { error } };
  }

  override render(): ReactNode {
    const { failed } = this.state;
    if (failed === null) return this.props.children;
    if (isLoadFailure(failed.error)) return <NotLoaded />;
    return (
      <div className="notice notice-error" role="alert">
        <h1>This view has a fault</h1>
        <p>{messageOf(failed.error)}</p>
        <Button onPress={() => this.setState({ failed: null })}>Try again</Button>
      </div>
    );
  }
}

/** When the page was loaded anew by itself, in milliseconds since 1970; kept beyond that, so that it does not do so again and again. */
const RELOADED_KEY = "ai-job-server.reloaded";
const BETWEEN_RELOADS_MS = 60_000;

/** Says that a view could not be loaded, and loads the page anew when the server answers: browsers try a script that has failed no second time. */
function NotLoaded() {
  const brokenAt = useBrokenAt();
  const [isBusy, setIsBusy] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onReconnection(() => {
      clearTimeout(timer);
      const last = Number(sessionStorage.getItem(RELOADED_KEY));
      timer = setTimeout(reload, Math.max(0, last + BETWEEN_RELOADS_MS - Date.now()));
    });
    // Whether the server is there at all is asked before: without it, the browser's own page would take the place of this one.
    doubtConnection();
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  const tryAgain = () => {
    setIsBusy(true);
    void isAnswering().then((isThere) => {
      setIsBusy(false);
      if (isThere) reload();
    });
  };
  return (
    <div className="notice notice-error" role="alert">
      <h1>This view could not be loaded</h1>
      <p>
        {brokenAt !== null
          ? `The server has not answered since ${clock(brokenAt)}. The view comes by itself as soon as it does.`
          : "The server answers: it may have been replaced by one of another version."}
      </p>
      <Button onPress={tryAgain} isBusy={isBusy}>
        Try again
      </Button>
    </div>
  );
}

function reload(): void {
  sessionStorage.setItem(RELOADED_KEY, String(Date.now()));
  location.reload();
}
