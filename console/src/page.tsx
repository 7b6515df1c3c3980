import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { onReconnection } from "./api/connection.ts";
import { codeOf, isTransientError } from "./api/errors.ts";
import { BASE_PATH } from "./api/place.ts";
import { App } from "./app.tsx";
import { preload } from "./shell/lazy-views.ts";

const queries = new QueryClient({
  queryCache: new QueryCache({
    // The session has ended, with its key or by itself: who asks is asked again, and the page asks for a key.
    onError: (error, { queryKey }) => {
      if (codeOf(error) === "UNAUTHENTICATED" && queryKey[0] !== "viewer")
        void queries.invalidateQueries({ queryKey: ["viewer"] });
    },
  }),
  defaultOptions: {
    queries: {
      // What the server refuses is refused again; what it could not answer may be answered in a moment.
      retry: (failures, error) => failures < 3 && isTransientError(error),
      refetchOnWindowFocus: false,
      staleTime: 1000,
    },
  },
});

// Whatever could not be read while the server was away is read as soon as it answers.
onReconnection(() => {
  void queries.refetchQueries({ type: "active", predicate: ({ state }) => isTransientError(state.error) });
});

// While the page still asks who uses it.
preload(location.pathname.slice(BASE_PATH.length).split("/")[1] ?? "");

const root = document.getElementById("console");
if (root)
  createRoot(root).render(
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>,
  );
