/** Sources: a list, and one with its lag, its tables and what to know about them. */
import { html } from "htm/preact";
import type { List, SourceStatus } from "./api.ts";
import { usePolled } from "./api.ts";
import { Trend } from "./chart.ts";
import { bytes, count, milliseconds, plural } from "./format.ts";
import { Await, Badge, Bar, Empty, Fact, Trouble } from "./pieces.ts";
import { useRates } from "./rates.ts";
import { sourceState } from "./states.ts";

export function Sources() {
  const list = usePolled<List<SourceStatus>>("/v1/sources");
  return html`<h1>Sources</h1>
    <${Await} of=${list}>${({ items }: List<SourceStatus>) =>
      items.length === 0
        ? html`<${Empty} title="Nothing is captured yet"><p>Export a <code>postgres(…)</code> from your module, or run <code>npx millrace init --source postgres://…</code>.</p><//>`
        : html`<div class="scroll"><table>
            <thead><tr><th>Source</th><th>State</th><th class="right">Tables</th><th class="right">Changes</th><th class="right">Lag</th><th>Position</th></tr></thead>
            <tbody>${items.map((source) => {
              const { tone, word } = sourceState(source);
              return html`<tr key=${source.name}>
                <td><a data-row href="#/sources/${source.name}">${source.name}</a></td><td><${Badge} tone=${tone}>${word}<//></td>
                <td class="right num">${source.tables.length}</td><td class="right num">${count(source.changes)}</td>
                <td class="right num">${source.lagMs === null ? "–" : milliseconds(source.lagMs)}</td><td class="mono">${source.position ?? "–"}</td>
              </tr>`;
            })}</tbody></table></div>`}<//>`;
}

export function Source({ name }: { name: string }) {
  const source = usePolled<SourceStatus>(`/v1/sources/${encodeURIComponent(name)}`);
  return html`<nav class="crumbs"><a href="#/sources">Sources</a></nav><h1>${name}</h1>
    <${Await} of=${source}>${(value: SourceStatus) => html`<${Details} source=${value} />`}<//>`;
}

function Details({ source }: { source: SourceStatus }) {
  const { tone, word } = sourceState(source);
  const rates = useRates({ changes: source.changes });
  return html`
    ${source.state.error ? html`<${Trouble} problem=${source.state.error} />` : null}
    ${source.state.kind === "snapshotting" ? html`<${Bar} done=${source.state.rows ?? 0} total=${source.state.rowsEstimated ?? 0} />` : null}
    ${source.reading?.map(
      ({ table, reason, rows, rowsEstimated, waiting, remainingMs }) => html`<div key=${table}>
        <p class="small"><span class="mono">${table}</span> ${waiting ? "waits to be read" : "is read"}: ${reason}${remainingMs === null ? "" : `; about ${milliseconds(remainingMs)} left`}</p>
        <${Bar} done=${rows} total=${rowsEstimated} /></div>`,
    )}
    <dl class="facts">
      <${Fact} name="State"><${Badge} tone=${tone}>${word}<//><//>
      <${Fact} name="Database"><span class="mono cut">${source.url}</span><//>
      <${Fact} name="Position"><span class="mono">${source.position ?? "–"}</span><//>
      <${Fact} name="Slot"><span class="mono cut">${source.slot ?? "–"}</span><//>
      <${Fact} name="Transactions"><span class="num">${count(source.transactions)}</span><//>
      <${Fact} name="Behind"><span class="num">${source.lagBytes === null ? "–" : bytes(source.lagBytes)}</span><//>
      <${Fact} name="Log held by the server"><span class="num">${source.wal === null ? "–" : bytes(source.wal.heldBytes)}${source.wal?.safeBytes != null ? `, lost after another ${bytes(source.wal.safeBytes)}` : ""}</span><//>
    </dl>
    <div class="trends">
      <${Trend} label="Changes a second" value=${rates.changes ?? 0} format=${(n: number) => count(n)} />
      <${Trend} label="Lag" value=${source.lagMs} format=${milliseconds} />
    </div>
    ${source.warnings.length ? html`<ul class="warnings">${source.warnings.map((text) => html`<li key=${text}>${text}</li>`)}</ul>` : null}
    ${source.orphans.length ? html`<${Orphans} orphans=${source.orphans} />` : null}
    <h2>${plural(source.tables.length, "table")}</h2>
    <div class="scroll"><table>
      <thead><tr><th>Table</th><th>Key</th><th>Columns</th><th>Topic</th></tr></thead>
      <tbody>${source.tables.map(
        (table) => html`<tr key=${table.topic}>
          <td>${table.schema === "public" ? "" : `${table.schema}.`}${table.table}</td>
          <td class="mono">${table.key?.join(", ") ?? (table.appendOnly ? "append-only" : "whole row")}</td>
          <td class="columns">${table.columns.map((column) => html`<span title=${column.sourceType} class=${column.carriedAsText ? "as-text" : ""}>${column.name}</span>`)}</td>
          <td><a class="mono" data-row href="#/topics/${table.topic}">${table.topic}</a></td>
        </tr>`,
      )}</tbody></table></div>`;
}

/** What nobody uses any more, with the SQL that takes it away: whether it may go, only people know. */
function Orphans({ orphans }: { orphans: SourceStatus["orphans"] }) {
  return html`<h2>Left behind in the database</h2>
    <div class="scroll"><table>
      <thead><tr><th>What</th><th class="right">Log held</th><th>To drop it, when no other Millrace needs it</th></tr></thead>
      <tbody>${orphans.map(
        (one) => html`<tr key=${one.kind + one.name}>
          <td>${one.kind} <span class="mono">${one.name}</span></td>
          <td class="right num">${one.heldBytes === null ? "–" : bytes(one.heldBytes)}</td>
          <td class="mono">${one.sql}</td>
        </tr>`,
      )}</tbody></table></div>`;
}
