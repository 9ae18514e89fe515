/** The console: a shell with five rooms, reached by the address's fragment, by mouse or by keyboard. */
import { html } from "htm/preact";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { List, NodeInfo } from "./api.ts";
import { usePolled } from "./api.ts";
import { Dialog } from "./dialog.ts";
import { listenToKeys, shortcuts } from "./keys.ts";
import { Overview } from "./overview.ts";
import { Badge } from "./pieces.ts";
import { readRoute } from "./route.ts";
import { Schemas } from "./schemas.ts";
import { Source, Sources } from "./sources.ts";
import { Subject } from "./subject.ts";
import { Topic, Topics } from "./topics.ts";
import { View, Views } from "./views.ts";

const rooms = [
  { path: "", name: "Overview" },
  { path: "views", name: "Views" },
  { path: "topics", name: "Topics" },
  { path: "sources", name: "Sources" },
  { path: "schemas", name: "Schemas" },
] as const;

function Console() {
  const [room, name] = useRoute();
  const [help, setHelp] = useState(false);
  useEffect(() => listenToKeys({ help: () => setHelp(true) }), []);
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <aside>
      <a class="brand" href="#/"><img src="/console/mark.svg" alt="" width="28" height="28" /> Millrace</a>
      <nav aria-label="Rooms">${rooms.map(
        (one) =>
          html`<a href="#/${one.path}" aria-current=${one.path === room ? "page" : null} key=${one.path}>${one.name}</a>`,
      )}</nav>
      <${Node} />
      <div class="tools"><button type="button" onClick=${switchTheme} aria-label="Switch between light and dark">◐</button>
        <button type="button" onClick=${() => setHelp(true)} aria-label="Keyboard shortcuts">?</button></div>
    </aside>
    <main id="main" tabindex="-1"><${Room} room=${room} name=${name} key=${`${room}/${name}`} /></main>
    ${help ? html`<${Help} close=${() => setHelp(false)} />` : null}`;
}

function Room({ room, name }: { room: string; name: string }) {
  if (room === "views") return name ? html`<${View} name=${name} />` : html`<${Views} />`;
  if (room === "topics") return name ? html`<${Topic} name=${name} />` : html`<${Topics} />`;
  if (room === "sources") return name ? html`<${Source} name=${name} />` : html`<${Sources} />`;
  if (room === "schemas") return name ? html`<${Subject} name=${name} />` : html`<${Schemas} />`;
  return html`<${Overview} />`;
}

function Node() {
  const nodes = usePolled<List<NodeInfo>>("/v1/nodes", 3_000);
  const node = nodes.kind === "ready" ? nodes.value.items[0] : undefined;
  const troubled = node?.groups.filter(({ name, error }) => name !== "main" && error !== null) ?? [];
  const away = nodes.kind === "failed" || (nodes.kind === "ready" && nodes.stale);
  return html`<div class="node">
    <${Badge} tone=${away ? "bad" : node ? "good" : "busy"}>${away ? "not reached" : node ? "running" : "connecting"}<//>
    <small>${node ? `${node.version} · ${node.mode} · store ${node.store.state}` : " "}</small>
    ${troubled.map(({ name, error }) => html`<small class="bad" title=${error?.message}>views of group ${name} stand still</small>`)}
  </div>`;
}

function Help({ close }: { close: () => void }) {
  return html`<${Dialog} title="Keyboard shortcuts" close=${close}>
    <dl class="keys">${shortcuts.map(([keys, does]) => html`<div key=${keys}><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${does}</dd></div>`)}</dl>
    <footer><button type="button" autofocus onClick=${close}>Close</button></footer><//>`;
}

function useRoute(): readonly [string, string] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return readRoute(hash);
}

function switchTheme(): void {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("millrace-theme", root.dataset.theme);
  } catch {
    // Storage may be switched off; the choice lasts until the page is left.
  }
}

const app = document.getElementById("app");
if (app) render(html`<${Console} />`, app);
