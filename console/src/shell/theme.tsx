import { useState } from "react";
import { Button } from "../ui/button.tsx";

const KEY = "ai-job-server.theme";
const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

function stored(): Theme {
  const kept = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === kept) ?? "auto";
}

function apply(theme: Theme): void {
  document.documentElement.style.colorScheme = theme === "auto" ? "" : theme;
}

apply(stored());

/** Light, dark, or as the person's system is. */
export function ThemeChoice() {
  const [theme, setTheme] = useState(stored);
  const next = () => {
    const chosen = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
    localStorage.setItem(KEY, chosen);
    apply(chosen);
    setTheme(chosen);
  };
  return (
    <Button look="plain" onPress={next}>
      Theme: {theme}
    </Button>
  );
}
