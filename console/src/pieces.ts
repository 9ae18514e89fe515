/** The small parts that every page is made of. */
import { html } from "htm/preact";
import type { ComponentChildren } from "preact";
import type { Loaded, Problem } from "./api.ts";

export type Tone = "good" | "busy" | "bad" | "quiet";

export function Badge({ tone, children }: { tone: Tone; children?: ComponentChildren }) {
  return html`<span class="badge ${tone}"><span class="dot" aria-hidden="true"></span>${children}</span>`;
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return html`<div class="empty"><h2>${title}</h2><div>${children}</div></div>`;
}

export function Trouble({ problem }: { problem: Problem }) {
  return html`<div class="trouble" role="alert">
    <code>${problem.code}</code>
    <p>${problem.message}</p>
    ${problem.hint ? html`<p class="hint">${problem.hint}</p>` : null}
  </div>`;
}

/** What stands in a page's place until its first answer: the room that the answer will take, so that nothing jumps. */
export function Await<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }) {
  if (of.kind === "loading") return html`<div class="loading" aria-busy="true"><i></i><i></i><i></i></div>`;
  if (of.kind === "failed") return html`<${Trouble} problem=${of.problem} />`;
  return html`${of.stale ? html`<${Trouble} problem=${of.stale} />` : null}${children(of.value)}`;
}

/** Sentences for the operator; nothing where there are none. */
export function Warnings({ of }: { of: readonly string[] }) {
  if (of.length === 0) return null;
  return html`<ul class="warnings" aria-label="Warnings">${of.map((text) => html`<li key=${text}>${text}</li>`)}</ul>`;
}

export function Bar({ done, total, label }: { done: number; total: number; label: string }) {
  const part = total > 0 ? Math.min(1, done / total) : 0;
  return html`<div class="bar" role="progressbar" aria-label=${label} aria-valuenow=${Math.round(part * 100)} aria-valuemin="0" aria-valuemax="100">
    <div style=${{ width: `${part * 100}%` }}></div>
  </div>`;
}

export function Fact({ name, wide, children }: { name: string; wide?: boolean; children?: ComponentChildren }) {
  return html`<div class="fact ${wide ? "wide" : ""}"><dt>${name}</dt><dd>${children}</dd></div>`;
}
