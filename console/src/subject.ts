/** One subject of the registry: a version, what differs from another one, what it is built on and what is built on it. */
import { html } from "htm/preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { asProblem, fetchJson, type Loaded, usePolled } from "./api.ts";
import { Level } from "./compatibility.ts";
import { plural } from "./format.ts";
import { Await, Fact } from "./pieces.ts";
import { diffLines, folded, printed } from "./schema-diff.ts";
import { type SchemaVersion, typeOf } from "./schemas.ts";

const referrersMax = 50;

export function Subject({ name }: { name: string }) {
  const path = `/registry/subjects/${encodeURIComponent(name)}/versions`;
  const numbers = usePolled<readonly number[]>(path, 5_000);
  return html`<nav class="crumbs"><a href="#/schemas">Schemas</a></nav><h1 class="mono">${name}</h1>
    <${Await} of=${numbers}>${(versions: readonly number[]) => html`<${Versions} subject=${name} path=${path} numbers=${versions} />`}<//>`;
}

function Versions({ subject, path, numbers }: { subject: string; path: string; numbers: readonly number[] }) {
  // Null follows the newest.
  const [chosen, setChosen] = useState<number | null>(null);
  const [other, setOther] = useState<number | null>(null);
  const latest = numbers.at(-1) as number;
  const version = chosen !== null && numbers.includes(chosen) ? chosen : latest;
  const before = other !== null && numbers.includes(other) ? other : (numbers[numbers.indexOf(version) - 1] ?? null);
  const one = useOnce<SchemaVersion>(`${path}/${version}`);
  const pick = (set: (n: number | null) => void) => (event: Event) => {
    const { value } = event.target as HTMLSelectElement;
    set(value === "" ? null : Number(value));
  };
  return html`<${Level} subject=${subject} />
    <div class="title"><h2>Version</h2>
      <select aria-label="Version" value=${String(version)} onChange=${pick(setChosen)}>${numbers.toReversed().map((n) => html`<option key=${n} value=${String(n)}>${n}${n === latest ? ", the newest" : ""}</option>`)}</select>
      ${
        numbers.length > 1
          ? html`<label class="check">compared with <select aria-label="Compared with" value=${before === null ? "" : String(before)} onChange=${pick(setOther)}>
        ${before === null ? html`<option value="">nothing</option>` : null}${numbers
          .toReversed()
          .filter((n) => n !== version)
          .map((n) => html`<option key=${n} value=${String(n)}>${n}</option>`)}</select></label>`
          : null
      }<span class="quiet">${plural(numbers.length, "version")}</span></div>
    <${Await} of=${one}>${(found: SchemaVersion) => html`
      <dl class="facts">
        <${Fact} name="Id"><span class="num">${found.id}</span><//>
        <${Fact} name="Type">${typeOf(found)}<//>
        <${Fact} name="References"><span class="num">${found.references?.length ?? 0}</span><//>
      </dl>
      ${before === null ? html`<pre class="schema" tabindex="0">${printed(found.schema)}</pre>` : html`<${Difference} path=${path} from=${before} to=${found} />`}
      ${found.references?.length ? html`<h2>Built on</h2><ul class="links">${found.references.map((one) => html`<li key=${one.name}><a class="mono" href="#/schemas/${encodeURIComponent(one.subject)}">${one.subject}</a> version ${one.version}, as <code>${one.name}</code></li>`)}</ul>` : null}`}<//>
    <${Referrers} path=${`${path}/${version}/referencedby`} key=${version} />`;
}

function Difference({ path, from, to }: { path: string; from: number; to: SchemaVersion }) {
  const [whole, setWhole] = useState(false);
  const earlier = useOnce<SchemaVersion>(`${path}/${from}`);
  return html`<${Await} of=${earlier}>${({
    schema,
  }: SchemaVersion) => html`<${Lines} from=${schema} to=${to.schema} numbers=${[from, to.version]} whole=${whole} />
    <button type="button" class="slight" aria-pressed=${whole} onClick=${() => setWhole(!whole)}>${whole ? "Only what differs" : "The whole schema"}</button>`}<//>`;
}

interface LinesProps {
  readonly from: string;
  readonly to: string;
  readonly numbers: readonly [number, number];
  readonly whole: boolean;
}

const marks = { same: " ", added: "+", removed: "−" } as const;
const spoken = { same: "", added: "added: ", removed: "taken away: " } as const;

function Lines({ from, to, numbers: [before, after], whole }: LinesProps) {
  const lines = useMemo(() => diffLines(printed(from), printed(to)), [from, to]);
  const [plus, minus] = (["added", "removed"] as const).map((kind) => lines.filter((one) => one.kind === kind).length);
  const shown = whole ? lines : folded(lines);
  return html`<p class="small">From version ${before} to ${after}: <b>${plural(plus ?? 0, "line")}</b> added, <b>${plural(minus ?? 0, "line")}</b> taken away</p>
    <pre class="schema diff" tabindex="0">${shown.map((one, i) =>
      one.kind === "fold"
        ? html`<span key=${i} class="fold">⋯ ${plural(one.lines, "line")} alike\n</span>`
        : html`<span key=${i} class=${one.kind}><i aria-hidden="true">${marks[one.kind]}</i><span class="unseen">${spoken[one.kind]}</span>${one.text}\n</span>`,
    )}</pre>`;
}

/** Schemas of other subjects that are built on this version. */
function Referrers({ path }: { path: string }) {
  const [places, setPlaces] = useState<readonly { subject: string; version: number }[]>([]);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const ask = async () => {
      const ids = await fetchJson<readonly number[]>(path, { signal });
      const found = ids.slice(0, referrersMax).map((id) => {
        return fetchJson<readonly { subject: string; version: number }[]>(`/registry/schemas/ids/${id}/versions`, {
          signal,
        });
      });
      setPlaces((await Promise.all(found)).flat());
    };
    // What is built on it stands beside; the page is whole without it.
    ask().catch(() => undefined);
    return () => controller.abort();
  }, [path]);
  if (places.length === 0) return null;
  return html`<h2>Built on it</h2><ul class="links">${places.map(({ subject, version }) => html`<li key=${`${subject}/${version}`}><a class="mono" href="#/schemas/${encodeURIComponent(subject)}">${subject}</a> version ${version}</li>`)}</ul>`;
}

/** What never changes is asked for once. */
function useOnce<T>(path: string): Loaded<T> {
  const [state, setState] = useState<{ readonly path: string; readonly loaded: Loaded<T> }>({
    path,
    loaded: { kind: "loading" },
  });
  useEffect(() => {
    const controller = new AbortController();
    fetchJson<T>(path, { signal: controller.signal }).then(
      (value) => setState({ path, loaded: { kind: "ready", value, stale: null } }),
      (error) => {
        if (!controller.signal.aborted) setState({ path, loaded: { kind: "failed", problem: asProblem(error) } });
      },
    );
    return () => controller.abort();
  }, [path]);
  return state.path === path ? state.loaded : { kind: "loading" };
}
