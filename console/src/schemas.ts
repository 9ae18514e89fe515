/** The registry of schemas: its subjects, and the level that subjects without one of their own are compared by. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { usePolled } from "./api.ts";
import { Level } from "./compatibility.ts";
import { count, plural } from "./format.ts";
import { Await, Badge, Empty } from "./pieces.ts";

export interface SchemaVersion {
  readonly subject: string;
  readonly version: number;
  readonly id: number;
  /** Avro where it is left out. */
  readonly schemaType?: string;
  readonly schema: string;
  readonly references?: readonly SchemaReference[];
}

export interface SchemaReference {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

const shownMax = 200;

export function typeOf({ schemaType = "AVRO" }: Pick<SchemaVersion, "schemaType">): string {
  return { AVRO: "Avro", JSON: "JSON Schema", PROTOBUF: "Protobuf" }[schemaType] ?? schemaType;
}

export function Schemas() {
  const list = usePolled<readonly SchemaVersion[]>("/registry/schemas?latestOnly=true", 5_000);
  const mode = usePolled<{ mode: string }>("/registry/mode", 10_000);
  const [filter, setFilter] = useState("");
  const text = filter.toLowerCase();
  return html`<div class="title"><h1>Schemas</h1>
      ${mode.kind === "ready" && mode.value.mode !== "READWRITE" ? html`<${Badge} tone="busy">${mode.value.mode}<//>` : null}
      <input type="search" data-key="/" placeholder="Filter subjects" aria-label="Filter subjects" value=${filter} onInput=${(event: InputEvent) => setFilter((event.target as HTMLInputElement).value)} /></div>
    <${Level} subject=${null} />
    <${Await} of=${list}>${(all: readonly SchemaVersion[]) => {
      const found = all.filter(({ subject }) => subject.toLowerCase().includes(text));
      if (all.length === 0) {
        return html`<${Empty} title="No schema is registered yet"><p>Give a <code>topic(…)</code> a schema, capture a table, or let a Kafka client register one at <code>${location.origin}/registry</code>.</p><//>`;
      }
      if (found.length === 0) {
        return html`<${Empty} title="No subject has this text"><p>Clear the filter to see all subjects.</p><//>`;
      }
      return html`<div class="scroll"><table>
          <thead><tr><th>Subject</th><th>Type</th><th class="right">Version</th><th class="right">Id</th><th class="right">References</th></tr></thead>
          <tbody>${found.slice(0, shownMax).map(
            (one) => html`<tr key=${one.subject}>
              <td class="name"><a class="mono" data-row href="#/schemas/${encodeURIComponent(one.subject)}">${one.subject}</a></td><td>${typeOf(one)}</td>
              <td class="right num">${one.version}</td><td class="right num">${one.id}</td><td class="right num">${one.references?.length || "–"}</td></tr>`,
          )}</tbody></table></div>
        ${found.length > shownMax ? html`<p class="quiet">The first ${shownMax} of ${count(found.length)} subjects are shown; filter to see others.</p>` : html`<p class="quiet">${plural(found.length, "subject")}</p>`}`;
    }}<//>`;
}
