/** The level that new versions are compared by: shown, and changed after saying what follows. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import type { Problem } from "./api.ts";
import { asProblem, fetchJson, usePolled } from "./api.ts";
import { type Level as LevelName, levelSentence, levels } from "./compatibility-levels.ts";
import { Dialog } from "./dialog.ts";
import { Trouble } from "./pieces.ts";

/** A level, or none of its own. */
type Wish = LevelName | "";

/** `subject` null: of all subjects that have none of their own. */
export function Level({ subject }: { subject: string | null }) {
  const [edition, setEdition] = useState(0);
  const [wish, setWish] = useState<Wish | null>(null);
  const path = subject === null ? "/registry/config" : `/registry/config/${encodeURIComponent(subject)}`;
  // Asked for when the page is opened: a subject without a level answers 404, which the browser would report each time.
  const own = usePolled<{ compatibilityLevel: LevelName }>(path, 600_000, edition);
  const all = usePolled<{ compatibilityLevel: LevelName }>("/registry/config", 10_000, edition);
  const ofAll = all.kind === "ready" ? all.value.compatibilityLevel : null;
  // 40408 of the registry: the subject has none of its own.
  const inherits = own.kind === "failed" && own.problem.code === "40408";
  if (own.kind === "loading" || ofAll === null)
    return html`<div class="level quiet" aria-busy="true">Compatibility …</div>`;
  if (own.kind === "failed" && !inherits) return html`<${Trouble} problem=${own.problem} />`;
  const now: Wish = own.kind === "ready" && own.stale?.code !== "40408" ? own.value.compatibilityLevel : "";
  const changed = (event: Event) => {
    const select = event.target as HTMLSelectElement;
    setWish(select.value as Wish);
    // What is chosen counts when it was confirmed.
    select.value = now;
  };
  const done = () => {
    setWish(null);
    setEdition((n) => n + 1);
  };
  return html`<div class="level"><label>Compatibility${subject === null ? " of subjects without their own" : ""}
      <select value=${now} onChange=${changed}>
        ${subject === null ? null : html`<option value="">${ofAll}, as of all subjects</option>`}
        ${levels.map((level) => html`<option key=${level} value=${level}>${level}</option>`)}
      </select></label>
      <span class="quiet">${levelSentence(now === "" ? ofAll : now)}</span></div>
    ${wish === null || wish === now ? null : html`<${Change} subject=${subject} path=${path} wish=${wish} ofAll=${ofAll} done=${done} close=${() => setWish(null)} />`}`;
}

interface ChangeProps {
  readonly subject: string | null;
  readonly path: string;
  readonly wish: Wish;
  readonly ofAll: LevelName;
  readonly done: () => void;
  readonly close: () => void;
}

function Change({ subject, path, wish, ofAll, done, close }: ChangeProps) {
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const level = wish === "" ? ofAll : wish;
  const change = async () => {
    setAsking(true);
    try {
      if (wish === "") await fetchJson(path, { method: "DELETE" });
      else await fetchJson(path, { method: "PUT", body: { compatibility: wish } });
      done();
    } catch (error) {
      setProblem(asProblem(error));
      setAsking(false);
    }
  };
  return html`<${Dialog} title=${`Compare ${subject ?? "all subjects without their own level"} by ${level}`} close=${close}>
    <p>${levelSentence(level)}</p>
    <p>It counts for versions that are registered from now on; what is registered stays, whether it fits or not.</p>
    ${level === "NONE" ? html`<p>Nothing keeps a new version from one that old data cannot be read with.</p>` : null}
    <div aria-live="polite">${problem ? html`<${Trouble} problem=${problem} />` : null}</div>
    <footer><button type="button" autofocus onClick=${close}>Cancel</button>
      <button type="button" class=${level === "NONE" ? "heavy" : "main"} disabled=${asking} onClick=${change}>Change to ${level}</button></footer>
  <//>`;
}
