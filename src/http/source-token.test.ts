import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import type { SourceStatus } from "../capture/source.ts";
import { encodeSourceToken } from "../catalog/source-token.ts";
import { encodeToken } from "../feeds/token.ts";
import type { Views, WaitTarget } from "../views/view-info.ts";
import { waitForViews } from "./read-token.ts";
import type { Call } from "./route.ts";

async function asked(token: string, server: SourceStatus["server"]): Promise<WaitTarget[]> {
  const waited: WaitTarget[] = [];
  const views = { waitFor: async (target: WaitTarget) => void waited.push(target) } as unknown as Views;
  const call = { query: [], headers: { "millrace-after": token } } as unknown as Call;
  const sources = { status: () => ({ server }) as SourceStatus, end: async () => undefined };
  await waitForViews(call, views, sources, 10, []);
  return waited;
}

test("a view is waited for by what a read is to have, not by what an earlier one has seen", async () => {
  const waited: unknown[] = [];
  const views = { waitFor: async (...wait: unknown[]) => void waited.push(wait.at(-1)) } as unknown as Views;
  const sources = { status: () => undefined, end: async () => undefined };
  for (const header of ["millrace-after", "millrace-seen"]) {
    const call = { query: [], headers: { [header]: token() } } as unknown as Call;
    await waitForViews(call, views, sources, 10, [{ view: "top" }]);
  }
  assert.deepEqual(waited, [[{ view: "top" }], []]);
});

test("several tokens are waited for, each of them, beside what was seen; too many are refused", async () => {
  const waited: string[] = [];
  const views = { waitFor: async ({ kind }: WaitTarget) => void waited.push(kind) } as unknown as Views;
  const sources = { status: () => undefined, end: async () => undefined };
  const topic = encodeToken({ kind: "topic", topic: "calls", topicId: "1", positions: [{ partition: 0, offset: 7 }] });
  const group = encodeToken({ kind: "group", generation: 1, batch: 2 });
  const wait = (after: string) =>
    waitForViews(
      { query: [{ name: "after", value: after }], headers: { "millrace-seen": group } } as unknown as Call,
      views,
      sources,
      10,
      [],
    );
  await wait(`${topic}, ${token()}`);
  assert.deepEqual(waited.sort(), ["group", "source", "topic"]);
  assert.throws(() => wait(new Array(17).fill(topic).join(",")), { code: "TOKEN_INVALID", message: /at most 16/ });
  assert.throws(() => wait(`${topic},`), { code: "TOKEN_INVALID" });
});

const server = { systemId: "7000000000000000001", timeline: 2 };
const token = (more: Partial<typeof server> = {}) =>
  encodeSourceToken({ source: "shop", lsn: "0/16B3748", server: { ...server, ...more } });

test("a token of the source's own server is waited for, also before the source knows which one it captures", async () => {
  const target = { kind: "source", source: "shop", lsn: "0/16B3748" };
  assert.deepEqual(await asked(token(), server), [target]);
  assert.deepEqual(await asked(token(), undefined), [target]);
  // Of a timeline that capture is about to follow; and one that names a position only.
  assert.deepEqual(await asked(token({ timeline: 3 }), server), [target]);
  assert.deepEqual(await asked(encodeSourceToken({ source: "shop", lsn: "0/16B3748" }), server), [target]);
});

test("a token of another server, or from before a failover, is TOKEN_FOREIGN, and nobody waits", async () => {
  await assert.rejects(asked(token({ systemId: "7" }), server), { code: "TOKEN_FOREIGN", message: /of server 7,/ });
  await assert.rejects(asked(token({ timeline: 1 }), server), { code: "TOKEN_FOREIGN", message: /failover/ });
});

test("now is the end of each source and topic of which the read shows something, and none of them is passed over", async () => {
  const waited: unknown[] = [];
  const reads = [{ view: "top" }];
  const end = { kind: "topic", topic: "calls", topicId: "1", positions: [{ partition: 0, offset: 7 }] };
  const views = {
    endsOfTopics: async (asked: unknown) => (asked === reads ? [end] : []),
    sourcesOf: (asked: unknown) => (asked === reads ? ["shop", "crm"] : []),
    waitFor: async (target: WaitTarget, _waitMs: number, _signal: unknown, of: unknown) =>
      void waited.push({ ...target, of }),
  } as unknown as Views;
  const call = { query: [{ name: "after", value: "now" }], headers: {} } as unknown as Call;
  const ends: Record<string, string> = { shop: "0/16B3748", crm: "0/2000000" };
  await waitForViews(call, views, { status: () => undefined, end: async (source) => ends[source] }, 10, reads);
  assert.deepEqual(waited, [
    { kind: "source", source: "shop", lsn: "0/16B3748", of: reads },
    { kind: "source", source: "crm", lsn: "0/2000000", of: reads },
    { ...end, of: reads },
  ]);
  const gone = new MillraceError("SOURCE_UNREACHABLE", "it does not stream");
  const unreachable = { status: () => undefined, end: () => Promise.reject(gone) };
  await assert.rejects(async () => waitForViews(call, views, unreachable, 10, reads), { code: "SOURCE_UNREACHABLE" });
});
