import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { plainReader } from "../schema/registry/wire-reader.ts";
import { ViewsFixture } from "./group-fixture.ts";
import type { Mark } from "./idle-marks.ts";
import { Inputs } from "./inputs.ts";
import { click, clicks } from "./windows-fixture.ts";

test("no record is read from where a partition stands until what is done there is done", async () => {
  await using fixture = await ViewsFixture.open();
  const { engine } = fixture;
  await engine.createTopic("clicks", { partitions: 1 });
  await click(fixture, 0, "00:10");
  const mirror = { id: 1, shape: clicks(1) };
  const marks: Mark[] = [];
  const inputs = new Inputs({
    ...{ engine, wire: plainReader, clock: systemClock, diagnostics: silentDiagnostics, sources: [] },
    ...{ offsets: new Map(), times: new Map(), mirrors: [mirror], marks: () => marks },
    records: [{ mirror, partition: 0, partitions: 1, topicId: engine.topic("clicks")?.id ?? null }],
  });
  const { signal } = new AbortController();
  const take = async () => {
    const work = await inputs.take(signal);
    assert.ok(work.kind === "rows" && work.staged);
    return [...(work.staged.get(1)?.lines() ?? [])].join("");
  };
  try {
    await click(fixture, 0, "00:20");
    if (!(await take()).includes("00:20")) await take();
    assert.equal(await inputs.whileStill("clicks", 1, async () => 0), null, "it has no such partition");
    const offset = await inputs.whileStill("clicks", 0, async (at) => {
      await click(fixture, 0, "00:30");
      for (let turn = 0; turn < 200; turn++) {
        await nextTurn();
        assert.equal(inputs.poll(), null);
      }
      assert.equal(await inputs.whileStill("clicks", 0, async () => 0), null, "it is held already");
      marks.push({ offset: at, ms: Date.UTC(2025, 2, 1, 10, 5) });
      return at;
    });
    assert.equal(offset, 2);
    assert.match(await take(), /2025-03-01T10:05:00\.000Z/);
  } finally {
    await inputs.close();
  }
});

test("a partition that has more to be read does not stand still", async () => {
  await using fixture = await ViewsFixture.open();
  const { engine } = fixture;
  await engine.createTopic("clicks", { partitions: 1 });
  const mirror = { id: 1, shape: clicks(1) };
  const inputs = new Inputs({
    ...{ engine, wire: plainReader, clock: systemClock, diagnostics: silentDiagnostics, sources: [] },
    ...{ offsets: new Map(), times: new Map(), mirrors: [mirror] },
    records: [{ mirror, partition: 0, partitions: 1, topicId: engine.topic("clicks")?.id ?? null }],
    bound: { changesMax: 1, bytesMax: 1 << 20 },
  });
  try {
    for (const at of ["00:10", "00:20", "00:30"]) await click(fixture, 0, at);
    await inputs.take(new AbortController().signal);
    for (let turn = 0; turn < 50; turn++) await nextTurn();
    assert.equal(await inputs.whileStill("clicks", 0, async () => 0), null);
  } finally {
    await inputs.close();
  }
});
