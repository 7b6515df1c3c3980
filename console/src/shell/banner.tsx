import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { readBuild } from "../api/build.ts";
import { useBrokenAt } from "../api/connection.ts";
import { Button } from "../ui/button.tsx";
import { clock } from "../ui/time.tsx";

/** How often the page looks whether its server is still the one that it came from, in milliseconds. */
const LOOK_MS = 60_000;

/** Says when what is shown is not live, and when the server was upgraded under the page. */
export function Banner() {
  const brokenAt = useBrokenAt();
  const isConnected = brokenAt === null;
  const { data: build, refetch } = useQuery({
    queryKey: ["build"],
    queryFn: ({ signal }) => readBuild(signal),
    refetchInterval: LOOK_MS,
  });
  const own = useRef<string>(undefined);
  own.current ??= build;
  // A server that comes back may be another one.
  useEffect(() => {
    if (isConnected) void refetch();
  }, [isConnected, refetch]);
  const isUpgraded = build !== undefined && own.current !== undefined && build !== own.current;
  return (
    <div aria-live="polite">
      {brokenAt !== null && <p className="banner banner-warn">Showing {clock(brokenAt)}, reconnecting…</p>}
      {isUpgraded && (
        <p className="banner">
          The server was upgraded. <Button onPress={() => location.reload()}>Load its console</Button>
        </p>
      )}
    </div>
  );
}
