/** Asking something of a source: what follows is said first, a refusal is shown with its code and the way out. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import type { Problem } from "./api.ts";
import { asProblem, fetchJson } from "./api.ts";
import { Dialog } from "./dialog.ts";
import { Trouble } from "./pieces.ts";
import { type Plan, retriedSentence, type Way } from "./source-actions.ts";
import type { Retried } from "./source-status.ts";

type Asked =
  | { readonly kind: "no" }
  | { readonly kind: "asking" }
  | { readonly kind: "done"; readonly retried: Retried }
  | { readonly kind: "refused"; readonly problem: Problem };

export function AskSource({ source, plan, close }: { source: string; plan: Plan; close: () => void }) {
  const [asked, setAsked] = useState<Asked>({ kind: "no" });
  const ask = async ({ path }: Way) => {
    setAsked({ kind: "asking" });
    try {
      const answer = await fetchJson<object>(`/v1/sources/${encodeURIComponent(source)}/${path}`, { method: "POST" });
      if ("tried" in answer) setAsked({ kind: "done", retried: answer as Retried });
      else close();
    } catch (error) {
      setAsked({ kind: "refused", problem: asProblem(error) });
    }
  };
  const asking = asked.kind === "asking";
  return html`<${Dialog} title=${plan.title} close=${close}>
    ${plan.says.map((text) => html`<p key=${text}>${text}</p>`)}
    ${plan.ways.map(({ says, does }) => (says.length > 0 ? html`<div class="way" key=${does}><b>${does}</b><ul>${says.map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>` : null))}
    <div aria-live="polite">
      ${asked.kind === "refused" ? html`<${Trouble} problem=${asked.problem} />` : null}
      ${asked.kind === "done" ? html`<div class="done"><p>${retriedSentence(asked.retried)}</p>${asked.retried.reasons.length > 0 ? html`<ul>${asked.retried.reasons.map((reason) => html`<li key=${reason}>${reason}</li>`)}</ul>` : null}</div>` : null}
    </div>
    <footer>
      <button type="button" autofocus onClick=${close}>${asked.kind === "done" ? "Close" : "Cancel"}</button>
      ${asked.kind === "done" ? null : plan.ways.map((way) => html`<button type="button" key=${way.path} class=${way.heavy ? "heavy" : "main"} disabled=${asking} onClick=${() => ask(way)}>${way.does}</button>`)}
    </footer>
  <//>`;
}
