/** Topics: a list, and one with its newest events as they come. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import type { List, TopicEvent, TopicInfo } from "./api.ts";
import { usePolled } from "./api.ts";
import { bytes, cell, clock, count } from "./format.ts";
import { useTail } from "./live.ts";
import { Await, Badge, Empty, Fact } from "./pieces.ts";
import { useRates } from "./rates.ts";

const end = (topic: TopicInfo) => topic.partitions.reduce((sum, p) => sum + p.highWatermark, 0);

export function Topics() {
  const [internal, setInternal] = useState(false);
  const list = usePolled<List<TopicInfo>>("/v1/topics");
  const rates = useRates(
    list.kind === "ready" ? Object.fromEntries(list.value.items.map((one) => [one.name, end(one)])) : null,
  );
  return html`<div class="title"><h1>Topics</h1>
      <label class="check"><input type="checkbox" checked=${internal} onChange=${() => setInternal(!internal)} /> Millrace's own</label></div>
    <${Await} of=${list}>${({ items }: List<TopicInfo>) => {
      const shown = items.filter((topic) => internal || !topic.name.startsWith("_millrace."));
      if (shown.length === 0) {
        return html`<${Empty} title="The log is empty"><p>Make a topic and write the first event:</p>
          <pre>curl -X PUT ${location.origin}/v1/topics/hello\ncurl ${location.origin}/v1/topics/hello --json '{"value": {"hello": "world"}}'</pre><//>`;
      }
      return html`<div class="scroll"><table>
        <thead><tr><th>Topic</th><th class="right">Partitions</th><th class="right">Records</th><th class="right">A second</th><th class="right">Size</th><th>Written by</th></tr></thead>
        <tbody>${shown.map(
          (topic) => html`<tr key=${topic.name}>
            <td><a class="mono" data-row href="#/topics/${topic.name}">${topic.name}</a></td><td class="right num">${topic.partitions.length}</td>
            <td class="right num">${count(topic.partitions.reduce((sum, p) => sum + p.highWatermark - p.logStart, 0))}</td>
            <td class="right num">${count(rates[topic.name] ?? 0)}</td><td class="right num">${bytes(topic.sizeBytes)}</td>
            <td>${topic.readOnly ? "Millrace" : "anyone"}</td></tr>`,
        )}</tbody></table></div>`;
    }}<//>`;
}

export function Topic({ name }: { name: string }) {
  const info = usePolled<TopicInfo>(`/v1/topics/${encodeURIComponent(name)}`);
  const [paused, setPaused] = useState(false);
  const tail = useTail(name, paused);
  return html`<nav class="crumbs"><a href="#/topics">Topics</a></nav><h1 class="mono">${name}</h1>
    <${Await} of=${info}>${(topic: TopicInfo) => html`
      <dl class="facts">
        <${Fact} name="Records"><span class="num">${count(topic.partitions.reduce((sum, p) => sum + p.highWatermark - p.logStart, 0))}</span><//>
        <${Fact} name="Partitions"><span class="num">${topic.partitions.length}</span><//>
        <${Fact} name="Size"><span class="num">${bytes(topic.sizeBytes)}</span><//>
        <${Fact} name="Topic id"><span class="mono cut">${topic.id}</span><//>
      </dl>
      <div class="title"><h2>Live tail</h2>
        <${Badge} tone=${tail.kind === "live" ? "good" : "busy"}>${paused ? "paused" : tail.kind}<//>
        <span class="quiet num">${count(tail.seen)} seen</span>
        <button type="button" data-key="p" onClick=${() => setPaused(!paused)}>${paused ? "Go on" : "Pause"}</button></div>
      ${
        tail.events.length === 0
          ? html`<${Empty} title="Waiting for the next event"><p>New events appear here as they are committed. Older ones: <code>millrace tail ${name} --from earliest</code></p><//>`
          : html`<div class="scroll tail"><table>
              <thead><tr><th class="right">Offset</th><th>Time</th><th>Key</th><th>Value</th></tr></thead>
              <tbody>${tail.events.map((event) => html`<${Event} key=${`${event.partition}/${event.offset}`} event=${event} />`)}</tbody></table></div>`
      }`}<//>`;
}

function Event({ event }: { event: TopicEvent }) {
  const [open, setOpen] = useState(false);
  const value = cell(event.value);
  return html`<tr class="event" onClick=${() => setOpen(!open)}>
    <td class="right num">${event.offset}</td><td class="num">${clock(event.timestamp)}</td><td class="mono cut">${event.key === null ? "–" : cell(event.key)}</td>
    <td class="mono">${open ? html`<pre>${typeof event.value === "string" ? event.value : JSON.stringify(event.value, null, 2)}</pre>` : html`<span class="line">${value.slice(0, 400)}</span>`}</td></tr>`;
}
