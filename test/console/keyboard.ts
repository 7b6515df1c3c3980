import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import type { Page } from "playwright-core";
import { z } from "zod";
import { type Console, openConsole } from "./console.ts";

/** A person who has no mouse, on a server that asks who it is. */

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";
const WORKSPACE = "01a22d6e-0f4b-7c11-8a55-0c1e2d3f4a5b";

/** A console in which nobody has signed in, with one workspace. */
export interface GuardedConsole extends Console {
  /** As whom workers and clients of the test speak with its server. */
  readonly connection: { readonly url: string; readonly key: string; readonly workspaceId: string };
  readonly client: JobClient;
}

export async function openGuardedConsole(): Promise<GuardedConsole> {
  const app = await openConsole({ OPERATOR_KEY });
  const operator = { url: app.server.url, key: OPERATOR_KEY };
  await createClient(operator).request(
    `mutation ($input: CreateWorkspaceInput!) { createWorkspace(input: $input) { __typename } }`,
    { input: { name: "Keyboard", workspaceId: WORKSPACE } },
  );
  const connection = { ...operator, workspaceId: WORKSPACE };
  return { ...app, connection, client: createClient(connection) };
}

/** The most times that Tab is pressed: more than a page has things to press. */
const MOST_TABS = 200;
const name = z.string();

export class Keyboard {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  /** Signs in, and goes to the workspace. */
  async signIn(): Promise<void> {
    await this.#page.getByLabel("Your key").waitFor();
    await this.type(OPERATOR_KEY);
    await this.press("Enter");
    await this.enter();
  }

  /** Goes to the workspace: a page of its own has a session storage of its own, and asks anew. */
  async enter(): Promise<void> {
    await this.go("Keyboard");
    await this.#page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  }

  press(key: string): Promise<void> {
    return this.#page.keyboard.press(key);
  }

  type(text: string): Promise<void> {
    return this.#page.keyboard.type(text);
  }

  /** Goes on with Tab until something of this name has the focus. */
  async focus(wanted: string | RegExp): Promise<void> {
    for (let tabs = 0; tabs < MOST_TABS; tabs += 1) {
      await this.press("Tab");
      const focused = await this.focusedName();
      if (typeof wanted === "string" ? focused === wanted : wanted.test(focused)) return;
    }
    throw new Error(`Nothing named ${String(wanted)} gets the focus.`);
  }

  /** Goes to something, and presses it. */
  async go(wanted: string | RegExp): Promise<void> {
    await this.focus(wanted);
    await this.press("Enter");
  }

  /** The name of what has the focus, about as a screen reader says it. */
  async focusedName(): Promise<string> {
    const said = await this.#page.evaluate(`(() => {
      const element = document.activeElement;
      const ids = (element?.getAttribute("aria-labelledby") ?? "").split(" ");
      const byId = ids.map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
      return (element?.getAttribute("aria-label") ?? (byId || element?.labels?.[0]?.textContent || element?.textContent) ?? "").trim();
    })()`);
    return name.parse(said);
  }
}
