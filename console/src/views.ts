/** Views: a list, and one with its rows changing as the data does. */
import { html } from "htm/preact";
import { useMemo, useState } from "preact/hooks";
import type { List, ViewInfo } from "./api.ts";
import { usePolled } from "./api.ts";
import { cell, count, isNumeric, plural } from "./format.ts";
import type { LiveRow, Row } from "./live.ts";
import { useLiveView } from "./live.ts";
import { Await, Badge, Bar, Empty, Fact, Trouble } from "./pieces.ts";
import { viewState } from "./states.ts";

/** A view with more rows than this is shown by its first page, asked for again, instead of all rows live. */
const liveRowsMax = 5_000;
const shownMax = 500;

export function Views() {
  const list = usePolled<List<ViewInfo>>("/v1/views");
  return html`<h1>Views</h1>
    <${Await} of=${list}>${({ items }: List<ViewInfo>) =>
      items.length === 0
        ? html`<${Empty} title="No view yet"><p>Export a <code>view(…)</code> from your module; <code>millrace dev</code> picks it up at once.</p><//>`
        : html`<div class="scroll"><table>
          <thead><tr><th>View</th><th>State</th><th>Class</th><th>Key</th><th class="right">Rows</th><th class="right">Changes</th></tr></thead>
          <tbody>${items.map((view) => {
            const { tone, word } = viewState(view);
            return html`<tr key=${view.name}><td><a data-row href="#/views/${view.name}">${view.name}</a>${view.group === "main" ? null : html` <span class="quiet">${view.group}</span>`}</td><td><${Badge} tone=${tone}>${word}<//></td>
              <td>${view.class}</td><td class="mono">${view.key?.join(", ") || "–"}</td><td class="right num">${count(view.rowsEstimated)}</td><td class="right num">${count(view.changes)}</td></tr>`;
          })}</tbody></table></div>`}<//>`;
}

export function View({ name }: { name: string }) {
  const list = usePolled<List<ViewInfo>>("/v1/views");
  return html`<nav class="crumbs"><a href="#/views">Views</a></nav><h1>${name}</h1>
    <${Await} of=${list}>${({ items }: List<ViewInfo>) => {
      const view = items.find((one) => one.name === name);
      return view
        ? html`<${Details} view=${view} />`
        : html`<${Empty} title="There is no view of this name"><p>Was it renamed? <a href="#/views">All views</a></p><//>`;
    }}<//>`;
}

function Details({ view }: { view: ViewInfo }) {
  const { tone, word } = viewState(view);
  return html`
    ${view.state.error ? html`<${Trouble} problem=${view.state.error} />` : null}
    ${view.state.kind === "live" && view.publishing?.state.error ? html`<${Trouble} problem=${view.publishing.state.error} />` : null}
    <dl class="facts">
      <${Fact} name="State"><${Badge} tone=${tone}>${word}<//><//>
      ${view.publishing ? html`<${Fact} name="Published to"><a href="#/topics/${view.publishing.topic}">${view.publishing.topic}</a>${view.publishing.behind ? `, behind by ${count(view.publishing.behind)}` : ""}<//>` : null}
      ${view.group === "main" ? null : html`<${Fact} name="Group">${view.group}<//>`}
      <${Fact} name="Class">${view.class}<//>
      ${view.refresh ? html`<${Fact} name="Run again">every ${view.refresh.every}${view.refresh.behind ? ", behind now" : ""}<//>` : null}
      ${view.window ? html`<${Fact} name="Window">${view.window.session ? `sessions by ${view.window.session.by.join(", ")} with gaps of ${view.window.session.gap}; ` : ""}ends by ${view.window.ends}, ${view.window.emit === "final" ? "shown when it is over" : "shown from its first event on"}<//>` : null}
      ${(view.watermarks ?? []).map(({ topic, at }) => html`<${Fact} key=${topic} name="Watermark"><a href="#/topics/${topic}">${topic}</a> ${at ?? "not known yet"}<//>`)}
      <${Fact} name="Key"><span class="mono">${view.key === null ? "none, rows may be equal" : view.key.join(", ") || "one row"}</span><//>
      <${Fact} name="Changes"><span class="num">${count(view.changes)}</span><//>
    </dl>
    <details><summary>SQL</summary><pre>${view.sql.trim()}</pre></details>
    ${
      view.state.kind === "building"
        ? html`<${Empty} title="This view is being built"><p>${view.state.reason}</p>
        <${Bar} done=${view.state.rowsDone ?? 0} total=${view.state.rowsEstimated ?? 0} label="Building" /><//>`
        : null
    }
    ${view.state.replacement ? html`<p class="quiet">Its next version ${view.state.replacement.reason}.</p>` : null}
    ${
      view.state.kind !== "live" && view.state.kind !== "removed"
        ? null
        : view.policy !== undefined
          ? html`<${Empty} title="Each caller is shown other rows"><p>Where <code>${view.policy}</code>. Over HTTP <code>Millrace-Rows: all</code> shows all of them.</p><//>`
          : view.rowsEstimated > liveRowsMax
            ? html`<${FirstPage} view=${view} />`
            : html`<${LiveTable} view=${view} />`
    }`;
}

function LiveTable({ view }: { view: ViewInfo }) {
  const live = useLiveView(view.name, view.key, true);
  const [filter, setFilter] = useState("");
  const [recent, setRecent] = useState(false);
  const rows = useMemo(() => visible(view, [...live.rows.values()], filter, recent), [live.rows, filter, recent]);
  return html`
    <div class="title"><h2>Rows</h2><${Badge} tone=${live.kind === "live" ? "good" : live.kind === "failed" ? "bad" : "busy"}>${live.kind}<//>
      <span class="quiet num">${plural(live.rows.size, "row")}, ${plural(live.changes, "change")} seen</span>
      <label class="check"><input type="checkbox" checked=${recent} onChange=${() => setRecent(!recent)} /> last changed first</label>
      <input type="search" data-key="/" placeholder="Filter rows" aria-label="Filter rows" value=${filter} onInput=${(event: InputEvent) => setFilter((event.target as HTMLInputElement).value)} /></div>
    ${live.problem ? html`<${Trouble} problem=${live.problem} />` : null}
    ${live.notice ? html`<p class="notice">${live.notice}</p>` : null}
    ${
      live.kind !== "connecting" && rows.length === 0
        ? html`<${Empty} title=${filter ? "No row has this text" : "The view has no rows"}><p>${filter ? "Clear the filter to see all rows." : "Rows appear here as soon as the query has some."}</p><//>`
        : html`<${Rows} view=${view} rows=${rows.slice(0, shownMax)} />`
    }
    ${rows.length > shownMax ? html`<p class="quiet">The first ${count(shownMax)} of ${count(rows.length)} rows are shown; filter to see others.</p>` : null}`;
}

/** Rows stand in the order of their key, numbers from the newest on, so that a change stays where the eye is. */
function visible(view: ViewInfo, rows: LiveRow[], filter: string, recent: boolean): LiveRow[] {
  const text = filter.toLowerCase();
  const has = ({ row }: LiveRow) => Object.values(row).some((value) => cell(value).toLowerCase().includes(text));
  const found = text === "" ? rows : rows.filter(has);
  const [only, ...more] = view.key ?? [];
  const key = more.length === 0 ? view.columns.find((column) => column.name === only) : undefined;
  const numeric = key !== undefined && isNumeric(key.type);
  return found.sort((a, b) => {
    if (recent && a.changedAt !== b.changedAt) return b.changedAt - a.changedAt;
    return numeric ? Number(b.row[key.name]) - Number(a.row[key.name]) : a.id < b.id ? -1 : 1;
  });
}

function FirstPage({ view }: { view: ViewInfo }) {
  const page = usePolled<readonly Row[]>(`/v1/views/${encodeURIComponent(view.name)}?limit=100`, 2_000);
  return html`<div class="title"><h2>First 100 rows</h2><${Badge} tone="quiet">read every 2 s<//></div>
    <p class="quiet">The view has about ${count(view.rowsEstimated)} rows, too many to follow in a page. Filter it over HTTP: <code>/v1/views/${view.name}?${view.key?.[0] ?? "column"}=eq.…</code></p>
    <${Await} of=${page}>${(rows: readonly Row[]) => html`<${Rows} view=${view} rows=${rows.map((row, i) => ({ id: String(i), row, changedAt: 0, changed: new Set<string>() }))} />`}<//>`;
}

function Rows({ view, rows }: { view: ViewInfo; rows: readonly LiveRow[] }) {
  return html`<div class="scroll"><table class="rows">
    <thead><tr>${view.columns.map((column) => html`<th key=${column.name} class=${isNumeric(column.type) ? "right" : ""} title=${column.type}>${column.name}</th>`)}</tr></thead>
    <tbody>${rows.map(
      (one) =>
        html`<tr key=${one.id}>${view.columns.map((column) => {
          const value = one.row[column.name];
          const fresh = one.changedAt > 0 && one.changed.has(column.name);
          return html`<td key=${fresh ? `${column.name}@${one.changedAt}` : column.name} class="${isNumeric(column.type) ? "right num" : ""} ${fresh ? "fresh" : ""}">${
            value === null || value === undefined ? html`<span class="null">null</span>` : cell(value)
          }</td>`;
        })}</tr>`,
    )}</tbody></table></div>`;
}
