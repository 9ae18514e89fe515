/** Sources: a list, and one with its lag, its tables, what to know about them and what can be asked of it. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import type { List, ViewInfo } from "./api.ts";
import { usePolled } from "./api.ts";
import { Trend } from "./chart.ts";
import { bytes, count, milliseconds } from "./format.ts";
import { Await, Badge, Bar, Empty, Fact, Trouble, Warnings } from "./pieces.ts";
import { useRates } from "./rates.ts";
import { readSentence } from "./read-sentence.ts";
import { actionNames, actionsOf, type Plan, planAction, planTable } from "./source-actions.ts";
import { AskSource } from "./source-ask.ts";
import type { SourceStatus, SourceTable } from "./source-status.ts";
import { Readings, Tables } from "./source-tables.ts";
import { lagOf, sourceState, walBound } from "./states.ts";
import { Webhook } from "./webhook.ts";

export function Sources() {
  const list = usePolled<List<SourceStatus>>("/v1/sources");
  return html`<h1>Sources</h1>
    <${Await} of=${list}>${({ items }: List<SourceStatus>) =>
      items.length === 0
        ? html`<${Empty} title="Nothing is captured yet"><p>Export a <code>postgres(…)</code> or a <code>webhook(…)</code> from your module, or run <code>npx millrace init --source postgres://…</code>.</p><//>`
        : html`<div class="scroll"><table>
            <thead><tr><th>Source</th><th>State</th><th>Kind</th><th class="right">Tables</th><th class="right">Changes</th><th class="right">Behind</th><th class="right">Log held</th><th class="right">Warnings</th></tr></thead>
            <tbody>${items.map((source) => {
              const { tone, word } = sourceState(source);
              return html`<tr key=${source.name}>
                <td class="name"><a data-row href="#/sources/${encodeURIComponent(source.name)}">${source.name}</a></td><td><${Badge} tone=${tone}>${word}<//></td>
                <td>${source.type}</td><td class="right num">${source.hook ? "–" : source.tables.length}</td><td class="right num">${count(source.changes)}</td>
                <td class="right num">${lagOf(source)}</td><td class="right num">${source.wal === null ? "–" : bytes(source.wal.heldBytes)}</td>
                <td class="right num">${source.warnings.length === 0 ? "–" : source.warnings.length}</td>
              </tr>`;
            })}</tbody></table></div>`}<//>`;
}

export function Source({ name }: { name: string }) {
  const source = usePolled<SourceStatus>(`/v1/sources/${encodeURIComponent(name)}`);
  return html`<nav class="crumbs"><a href="#/sources">Sources</a></nav><h1>${name}</h1>
    <${Await} of=${source}>${(value: SourceStatus) =>
      value.hook
        ? html`<${Webhook} source=${value} hook=${value.hook} />`
        : html`<${Database} source=${value} />`}<//>`;
}

function Database({ source }: { source: SourceStatus }) {
  const [plan, setPlan] = useState<Plan | null>(null);
  const { tone, word } = sourceState(source);
  const rates = useRates({ changes: source.changes });
  const views = usePolled<List<ViewInfo>>("/v1/views", 10_000);
  const readAnew = (table: SourceTable) => {
    const items = views.kind === "ready" ? views.value.items : [];
    // As a definition writes `${shop.orders}` into its SQL; views that name the table otherwise are told of in general.
    const readers = items
      .filter(({ sql }) => sql.includes(`"${source.name}"."${table.table}"`))
      .map((view) => view.name);
    setPlan(planTable(table, readers));
  };
  const { wal } = source;
  return html`
    ${source.state.error ? html`<${Trouble} problem=${source.state.error} />` : null}
    <div class="actions" role="group" aria-label="Actions">${actionsOf(source).map(
      (kind) =>
        html`<button type="button" key=${kind} onClick=${() => setPlan(planAction(kind, source))}>${actionNames[kind]}</button>`,
    )}</div>
    ${plan ? html`<${AskSource} key=${plan.title} source=${source.name} plan=${plan} close=${() => setPlan(null)} />` : null}
    ${
      source.state.kind === "snapshotting"
        ? html`<div class="whole"><${Bar} done=${source.state.rows ?? 0} total=${source.state.rowsEstimated ?? 0} label="First load" />
        <span class="small num">${readSentence(source.state)}</span></div>`
        : null
    }
    <dl class="facts">
      <${Fact} name="State"><${Badge} tone=${tone}>${word}<//><//>
      <${Fact} name="Behind"><span class="num">${lagOf(source)}</span><//>
      <${Fact} name="Log held" wide><span class="num">${wal === null ? "–" : bytes(wal.heldBytes)}</span><span class="small bound">${walBound(source)}</span><//>
      <${Fact} name="Position"><span class="mono cut">${source.position ?? "–"}</span><//>
      <${Fact} name="Transactions"><span class="num">${count(source.transactions)}</span><//>
      <${Fact} name="Slot"><span class="mono cut" title=${source.slot}>${source.slot ?? "–"}</span><//>
      <${Fact} name="Database" wide><span class="mono cut" title=${source.url}>${source.url}</span><//>
    </dl>
    <${Warnings} of=${source.warnings} />
    <${Readings} readings=${source.reading ?? []} />
    <div class="trends">
      <${Trend} label="Changes a second" value=${rates.changes ?? 0} format=${(n: number) => count(n)} />
      <${Trend} label="Lag" value=${source.lagMs} format=${milliseconds} />
    </div>
    ${source.orphans.length ? html`<${Orphans} orphans=${source.orphans} />` : null}
    <${Tables} tables=${source.tables} readAnew=${source.state.kind === "streaming" ? readAnew : null} />`;
}

/** What nobody uses any more, with the SQL that takes it away: whether it may go, only people know. */
function Orphans({ orphans }: { orphans: SourceStatus["orphans"] }) {
  return html`<h2>Left behind in the database</h2>
    <div class="scroll"><table>
      <thead><tr><th>What</th><th class="right">Log held</th><th>To drop it, when no other Millrace needs it</th></tr></thead>
      <tbody>${orphans.map(
        (one) => html`<tr key=${one.kind + one.name}>
          <td class="name">${one.kind} <span class="mono">${one.name}</span></td>
          <td class="right num">${one.heldBytes === null ? "–" : bytes(one.heldBytes)}</td>
          <td class="mono name">${one.sql}</td>
        </tr>`,
      )}</tbody></table></div>`;
}
