/** The tables of a source: those that are read, with how far they are, and all of them. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { count, plural } from "./format.ts";
import { Bar, Empty } from "./pieces.ts";
import { readSentence } from "./read-sentence.ts";
import type { SourceTable, TableReading } from "./source-status.ts";

const shownMax = 100;
const waitingMax = 5;
/** Fewer are found by eye. */
const filterFrom = 8;
const columnsMax = 12;

/** Those that are read, and the first of those that wait: the first load of a large database has hundreds. */
export function Readings({ readings }: { readings: readonly TableReading[] }) {
  const read = readings.filter(({ waiting }) => !waiting);
  const waiting = readings.filter((one) => one.waiting);
  const more = waiting.length - waitingMax;
  if (readings.length === 0) return null;
  return html`<h2>Being read</h2>
    <ul class="readings">${[...read, ...waiting.slice(0, waitingMax)].map(
      (one) => html`<li key=${one.table}>
        <span class="mono cut" title=${one.table}>${one.table}</span>
        <${Bar} done=${one.rows} total=${one.rowsEstimated} label=${`Reading ${one.table}`} />
        <span class="small num">${one.waiting ? "waits for its turn" : readSentence(one)}</span>
        <span class="small why">${one.reason}</span></li>`,
    )}</ul>
    ${more > 0 ? html`<p class="quiet">${plural(more, "more table")} ${more === 1 ? "waits" : "wait"} for ${more === 1 ? "its" : "their"} turn.</p>` : null}`;
}

interface TablesProps {
  readonly tables: readonly SourceTable[];
  /** Null where tables cannot be read alone now. */
  readonly readAnew: ((table: SourceTable) => void) | null;
}

export function Tables({ tables, readAnew }: TablesProps) {
  const [filter, setFilter] = useState("");
  const text = filter.toLowerCase();
  const found = tables.filter(({ schema, table }) => `${schema}.${table}`.toLowerCase().includes(text));
  return html`<div class="title"><h2>${plural(tables.length, "table")}</h2>
      ${tables.length >= filterFrom ? html`<input type="search" data-key="/" placeholder="Filter tables" aria-label="Filter tables" value=${filter} onInput=${(event: InputEvent) => setFilter((event.target as HTMLInputElement).value)} />` : null}</div>
    ${
      found.length === 0
        ? html`<${Empty} title=${tables.length === 0 ? "No table is captured yet" : "No table has this text"}><p>${tables.length === 0 ? "They appear when the database was reached." : "Clear the filter to see all tables."}</p><//>`
        : html`<div class="scroll"><table class="captured">
      <thead><tr><th>Table</th><th>Key</th><th class="right">Rows, about</th><th>Columns</th><th>Topic</th>${readAnew ? html`<th><span class="unseen">Actions</span></th>` : null}</tr></thead>
      <tbody>${found.slice(0, shownMax).map(
        (table) => html`<tr key=${table.topic}>
          <td class="name">${table.schema === "public" ? "" : `${table.schema}.`}${table.table}</td>
          <td class="mono name">${table.key?.join(", ") ?? (table.appendOnly ? "append-only" : "whole row")}</td>
          <td class="right num">${table.rowsEstimated === null ? "–" : count(table.rowsEstimated)}</td>
          <td><${Columns} table=${table} /></td>
          <td><a class="mono name" data-row href="#/topics/${encodeURIComponent(table.topic)}">${table.topic}</a></td>
          ${readAnew ? html`<td class="right"><button type="button" class="slight" aria-label=${`Read ${table.schema}.${table.table} anew`} onClick=${() => readAnew(table)}>Read anew</button></td>` : null}
        </tr>`,
      )}</tbody></table></div>`
    }
    ${found.length > shownMax ? html`<p class="quiet">The first ${shownMax} of ${count(found.length)} tables are shown; filter to see others.</p>` : null}`;
}

function Columns({ table: { columns } }: { table: SourceTable }) {
  const [open, setOpen] = useState(false);
  const more = columns.length - columnsMax;
  const shown = open || more <= 1 ? columns : columns.slice(0, columnsMax);
  return html`<span class="columns">${shown.map(
    ({ name, sourceType, carriedAsText }) =>
      html`<span key=${name} title=${carriedAsText ? `${sourceType}, carried as PostgreSQL's text` : sourceType} class=${carriedAsText ? "as-text" : ""}>${name}</span>`,
  )}${shown.length < columns.length ? html`<button type="button" class="slight" onClick=${() => setOpen(true)}>${plural(more, "more column")}</button>` : null}</span>`;
}
