/** The first page: what comes in, the log, and what is kept right, side by side with their rates. */
import { html } from "htm/preact";
import type { List, NodeInfo, TopicInfo, ViewInfo } from "./api.ts";
import { usePolled } from "./api.ts";
import { bytes, count, milliseconds, plural, rate } from "./format.ts";
import { Badge, Bar, Empty, Trouble } from "./pieces.ts";
import { useRates } from "./rates.ts";
import type { SourceStatus } from "./source-status.ts";
import { sourceState, viewState } from "./states.ts";

export function Overview() {
  const sources = usePolled<List<SourceStatus>>("/v1/sources");
  const topics = usePolled<List<TopicInfo>>("/v1/topics");
  const views = usePolled<List<ViewInfo>>("/v1/views");
  const nodes = usePolled<List<NodeInfo>>("/v1/nodes", 5_000);
  const failed = [sources, topics, views].find((one) => one.kind === "failed" || (one.kind === "ready" && one.stale));
  const problem = failed?.kind === "failed" ? failed.problem : failed?.kind === "ready" ? failed.stale : null;
  return html`
    <h1>Overview</h1>
    ${problem ? html`<${Trouble} problem=${problem} />` : null}
    <div class="race">
      <${Sources} items=${sources.kind === "ready" ? sources.value.items : null} />
      <${Log} items=${topics.kind === "ready" ? topics.value.items : null} node=${nodes.kind === "ready" ? nodes.value.items[0] : undefined} />
      <${Views} items=${views.kind === "ready" ? views.value.items : null} />
    </div>`;
}

function Sources({ items }: { items: readonly SourceStatus[] | null }) {
  const rates = useRates(items && Object.fromEntries(items.map((one) => [one.name, one.changes])));
  return html`<section class="lane">
    <header><h2>Sources</h2><span class="step">capture</span></header>
    ${items === null ? html`<div class="card ghost"></div>` : null}
    ${
      items?.length === 0
        ? html`<${Empty} title="No source yet">
            <p>Name a database in your module and its tables appear here:</p>
            <pre>export const shop = postgres("shop", {\n  url: process.env.SHOP_URL,\n  tables: ["orders"],\n});</pre>
          <//>`
        : null
    }
    ${items?.map((source) => {
      const { tone, word } = sourceState(source);
      return html`<a class="card" href="#/sources/${source.name}" key=${source.name}>
        <div class="row"><b>${source.name}</b><${Badge} tone=${tone}>${word}<//></div>
        ${source.state.kind === "snapshotting" ? html`<${Bar} done=${source.state.rows ?? 0} total=${source.state.rowsEstimated ?? 0} label="First load" />` : null}
        ${source.state.error ? html`<p class="bad">${source.state.error.message}</p>` : null}
        <div class="row small"><span>${source.hook ? source.url : plural(source.tables.length, "table")}</span><span><b class="num">${rate(rates[source.name] ?? 0)}</b> changes/s</span></div>
        <div class="row small"><span>${source.type}</span><span>lag <b class="num">${source.lagMs === null ? "–" : milliseconds(source.lagMs)}</b></span></div>
      </a>`;
    })}
  </section>`;
}

function Log({ items, node }: { items: readonly TopicInfo[] | null; node: NodeInfo | undefined }) {
  const end = (topic: TopicInfo) => topic.partitions.reduce((sum, p) => sum + p.highWatermark, 0);
  const rates = useRates(items && Object.fromEntries(items.map((one) => [one.name, end(one)])));
  const shown = items?.filter((topic) => !topic.name.startsWith("_millrace.")) ?? [];
  const size = items?.reduce((sum, topic) => sum + topic.sizeBytes, 0) ?? 0;
  return html`<section class="lane">
    <header><h2>Log</h2><span class="step">one order, replayable</span></header>
    ${items === null ? html`<div class="card ghost"></div>` : null}
    ${
      items
        ? html`<div class="card plain"><div class="row small"><span>${plural(shown.length, "topic")}</span><span><b class="num">${bytes(size)}</b> on disk</span></div>
        ${node ? html`<div class="row small"><span>log</span><code>${node.logId.slice(0, 8)}</code></div>` : null}</div>`
        : null
    }
    ${shown.slice(0, 12).map(
      (topic) => html`<a class="card slim" href="#/topics/${topic.name}" key=${topic.name}>
        <div class="row"><span class="mono cut">${topic.name}</span><b class="num">${rate(rates[topic.name] ?? 0)}<small>/s</small></b></div>
      </a>`,
    )}
    ${shown.length > 12 ? html`<a class="more" href="#/topics">all ${count(shown.length)} topics</a>` : null}
  </section>`;
}

function Views({ items }: { items: readonly ViewInfo[] | null }) {
  const rates = useRates(items && Object.fromEntries(items.map((one) => [one.name, one.changes])));
  return html`<section class="lane">
    <header><h2>Views</h2><span class="step">SQL kept true</span></header>
    ${items === null ? html`<div class="card ghost"></div>` : null}
    ${
      items?.length === 0
        ? html`<${Empty} title="No view yet">
            <p>Write a query over the captured tables; it becomes a table that stays right.</p>
            <pre>export const openOrders = view(\n  "open_orders",\n  sql\`select id, status from \${shop.orders}\`,\n);</pre>
          <//>`
        : null
    }
    ${items?.map((view) => {
      const { tone, word } = viewState(view);
      return html`<a class="card" href="#/views/${view.name}" key=${view.name}>
        <div class="row"><b>${view.name}</b><${Badge} tone=${tone}>${word}<//></div>
        ${view.state.error ? html`<p class="bad">${view.state.error.message}</p>` : null}
        ${view.state.kind === "building" ? html`<p class="quiet">${view.state.reason}</p>` : null}
        ${view.state.replacement ? html`<p class="quiet">Its next version ${view.state.replacement.reason}.</p>` : null}
        <div class="row small"><span>${view.class}</span><span><b class="num">${rate(rates[view.name] ?? 0)}</b> changes/s</span></div>
        <div class="row small"><span>${view.key === null ? "no key" : `key ${view.key.join(", ") || "none, one row"}`}</span><span><b class="num">${count(view.rowsEstimated)}</b> rows</span></div>
      </a>`;
    })}
  </section>`;
}
