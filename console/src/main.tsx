import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { isTransientError } from "./api/errors.ts";
import { App } from "./app.tsx";
import "./style.css";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // What the server refuses is refused again; what it could not answer may be answered in a moment.
      retry: (failures, error) => failures < 3 && isTransientError(error),
      refetchOnWindowFocus: false,
      staleTime: 1000,
    },
  },
});

const root = document.getElementById("console");
if (root)
  createRoot(root).render(
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>,
  );
