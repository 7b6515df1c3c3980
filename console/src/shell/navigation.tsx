import { useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { addressOf } from "../api/place.ts";
import { useSession } from "../api/session.ts";
import { Button } from "../ui/button.tsx";
import { InboxCount } from "./inbox-count.tsx";
import { ThemeChoice } from "./theme.tsx";
import { VIEWS } from "./views.ts";

export function Navigation() {
  const { viewer, signOut, chooseWorkspace } = useSession();
  const [location] = useLocation();
  const views = useRef<HTMLElement>(null);
  // On a phone the views are one line, of which a part is seen.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the location says which view is the current one.
  useEffect(() => {
    const line = views.current;
    const current = line?.querySelector("[aria-current]");
    if (!line || !current) return;
    // The line alone: scrollIntoView would scroll the page, too.
    const { left, width } = current.getBoundingClientRect();
    const middle = left + width / 2 - line.getBoundingClientRect().left;
    line.scrollLeft += middle - line.clientWidth / 2;
  }, [location]);
  const isCurrent = (path: string) =>
    path === "/" ? location === "/" || location.startsWith("/jobs") : location === path;
  const allowed = VIEWS.filter(({ needs }) => needs.some((permission) => viewer.permissions.includes(permission)));
  return (
    <header className="side">
      <p className="brand">AI Job Server</p>
      <nav aria-label="Views" ref={views}>
        <ul>
          {allowed.map(({ path, name }) => (
            <li key={path}>
              <Link href={path} aria-current={isCurrent(path) ? "page" : undefined}>
                {name}
                {path === "/inbox" && <InboxCount />}
              </Link>
            </li>
          ))}
          <li>
            <a href={addressOf("graphql")} target="_blank" rel="noopener">
              GraphiQL ↗
            </a>
          </li>
        </ul>
      </nav>
      <div className="side-foot">
        <p className="quiet">
          {viewer.apiKey ? <bdi title={viewer.principal}>{viewer.apiKey.name}</bdi> : viewer.principal}
          {viewer.workspace && (
            <>
              {" in "}
              <bdi>{viewer.workspace.name}</bdi>
            </>
          )}
        </p>
        {viewer.principal !== "anonymous" && (
          <p>
            {viewer.permissions.includes("WORKSPACES_MANAGE") && (
              <Button look="plain" onPress={() => chooseWorkspace(null)}>
                Other workspace
              </Button>
            )}
            <Button look="plain" onPress={signOut}>
              Sign out
            </Button>
          </p>
        )}
        <ThemeChoice />
      </div>
    </header>
  );
}
