/** A source of webhooks: what was kept, what was refused and why. */
import { html } from "htm/preact";
import { Trend } from "./chart.ts";
import { bytes, clock, count, day, milliseconds } from "./format.ts";
import { refusals } from "./hook-reasons.ts";
import { Badge, Bar, Empty, Fact, Trouble, Warnings } from "./pieces.ts";
import { useRates } from "./rates.ts";
import type { HookStatus, ReconcileStatus, SourceStatus } from "./source-status.ts";
import { sourceState } from "./states.ts";

export function Webhook({ source, hook }: { source: SourceStatus; hook: HookStatus }) {
  const { tone, word } = sourceState(source);
  const rates = useRates({ accepted: hook.accepted, refused: sum(hook.refused) });
  const refused = refusals(hook.refused);
  return html`
    ${source.state.error ? html`<${Trouble} problem=${source.state.error} />` : null}
    <dl class="facts">
      <${Fact} name="State"><${Badge} tone=${tone}>${word}<//><//>
      <${Fact} name="Last event"><span class="num">${hook.lastEventAt === null ? "none since the start" : `${day(hook.lastEventAt)} ${clock(hook.lastEventAt)}`}</span><//>
      <${Fact} name="Accepted"><span class="num">${count(hook.accepted)}</span><//>
      <${Fact} name="Duplicates"><span class="num">${count(hook.duplicates)}</span><//>
      <${Fact} name="Refused"><span class="num">${count(sum(hook.refused))}</span><//>
      <${Fact} name="Forged"><span class="num ${(hook.refused.signature ?? 0) > 0 ? "bad" : ""}">${count(hook.refused.signature ?? 0)}</span><//>
      <${Fact} name="Challenges"><span class="num">${count(hook.challenges)}</span><//>
      <${Fact} name="Came late"><span class="num">${count(hook.late)}</span><//>
      <${Fact} name="Verified by"><span class="mono cut" title=${hook.verifier}>${hook.verifier}</span><//>
      <${Fact} name="Address"><span class="mono cut" title=${source.url}>${source.url}</span><//>
      <${Fact} name="Topic"><a class="mono cut" href="#/topics/${encodeURIComponent(hook.topic)}">${hook.topic}</a><//>
    </dl>
    <${Warnings} of=${source.warnings} />
    <div class="trends">
      <${Trend} label="Accepted a second" value=${rates.accepted ?? 0} format=${count} />
      <${Trend} label="Refused a second" value=${rates.refused ?? 0} format=${count} />
    </div>
    <h2>Refused since the start</h2>
    ${
      refused.length === 0
        ? html`<${Empty} title="Nothing was refused"><p>Calls with a wrong signature, too large, or beyond the quota are counted here.</p><//>`
        : html`<div class="scroll"><table><thead><tr><th>Why</th><th class="right">Calls</th><th>What it means</th></tr></thead>
          <tbody>${refused.map(({ reason, calls, about }) => html`<tr key=${reason}><td>${reason}</td><td class="right num">${count(calls)}</td><td>${about}</td></tr>`)}</tbody></table></div>`
    }
    <h2>Ids remembered</h2>
    <div class="whole"><${Bar} done=${hook.ids.held} total=${hook.ids.max} label="Ids remembered" />
      <span class="small num">${count(hook.ids.held)} of at most ${count(hook.ids.max)}, in ${bytes(hook.ids.bytes)}${hook.ids.evicted > 0 ? `; ${count(hook.ids.evicted)} let go before their time` : ""}</span></div>
    ${hook.reconcile ? html`<${Reconcile} reconcile=${hook.reconcile} />` : null}`;
}

/** What the vendor's own list told that the webhooks did not. */
function Reconcile({ reconcile }: { reconcile: ReconcileStatus }) {
  const { state, completeTo, error } = reconcile;
  const age = completeTo === null ? null : Math.max(0, Date.now() - Date.parse(completeTo));
  return html`<h2>Compared with the vendor's list</h2>
    ${error ? html`<${Trouble} problem=${error} />` : null}
    <dl class="facts">
      <${Fact} name="State"><${Badge} tone=${state === "failing" ? "bad" : state === "asking" ? "busy" : "quiet"}>${state}<//><//>
      <${Fact} name="Complete up to"><span class="num">${age === null ? "–" : `${milliseconds(age)} ago`}</span><//>
      <${Fact} name="Listed"><span class="num">${count(reconcile.listed)}</span><//>
      <${Fact} name="Missed by webhooks"><span class="num">${count(reconcile.missed)}</span><//>
      <${Fact} name="Altered"><span class="num">${count(reconcile.altered)}</span><//>
      <${Fact} name="Corrected"><span class="num">${count(reconcile.corrected)}</span><//>
    </dl>`;
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, n) => total + n, 0);
}
