import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { heartbeat } from "../kafka/apis/heartbeat.ts";
import { type Exchange, ExchangeQueue, released } from "./exchange-queue.ts";
import { answers, type RequestContext } from "./handler.ts";

/** Handlers that answer when they are told to; what was begun, sent and released, by correlation id. */
function openQueue() {
  const begun: number[] = [];
  const sent: number[] = [];
  const freed: number[] = [];
  const failures: unknown[] = [];
  const waiting = new Map<number, PromiseWithResolvers<{ errorCode: number }>>();
  const handle = async (_request: unknown, context: RequestContext) => {
    begun.push(context.correlationId);
    context.afterSent(() => freed.push(context.correlationId));
    const answer = Promise.withResolvers<{ errorCode: number }>();
    waiting.set(context.correlationId, answer);
    return await answer.promise;
  };
  const queue = new ExchangeQueue({
    clock: new VirtualClock(),
    isHeldBack: () => false,
    contextOf: (exchange: Exchange) =>
      ({
        correlationId: exchange.header.correlationId,
        afterSent(release: () => void) {
          exchange.afterSent = release;
        },
      }) as RequestContext,
    worked() {},
    send(exchange) {
      sent.push(exchange.header.correlationId);
      released(exchange);
    },
    failed: (_answer, cause) => failures.push(cause),
    advanced: () => queue.begin(),
  });
  const ask = (correlationId: number, pipelined: boolean) => {
    const header = { apiKey: 12, apiVersion: 4, correlationId, clientId: null, bodyPosition: 0 };
    queue.push(header, answers(heartbeat, handle, { pipelined }), {}, 10);
  };
  const answer = async (correlationId: number) => {
    waiting.get(correlationId)?.resolve({ errorCode: 0 });
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, begun, sent, freed, failures, waiting, ask, answer };
}

describe("the requests of a connection", () => {
  test("that are pipelined begin at once, and are answered in their order whichever is done first", async () => {
    const { queue, begun, sent, ask, answer } = openQueue();
    for (const id of [1, 2, 3]) ask(id, true);
    assert.deepEqual(begun, [1, 2, 3]);
    await answer(3);
    await answer(2);
    assert.deepEqual(sent, [], "the first is not answered yet");
    assert.equal(queue.heldBytes, 30);
    await answer(1);
    assert.deepEqual(sent, [1, 2, 3]);
    assert.equal(queue.heldBytes, 0);
  });

  test("that are not wait for all before them, and all behind them wait for them", async () => {
    const { begun, ask, answer } = openQueue();
    ask(1, true);
    ask(2, false);
    ask(3, true);
    assert.deepEqual(begun, [1]);
    await answer(1);
    assert.deepEqual(begun, [1, 2]);
    await answer(2);
    assert.deepEqual(begun, [1, 2, 3]);
  });

  test("release what they hold once, also when the connection goes while they run", async () => {
    const { queue, sent, freed, ask, answer } = openQueue();
    ask(1, true);
    ask(2, true);
    await answer(1);
    assert.deepEqual(freed, [1]);
    queue.close();
    assert.deepEqual(freed, [1, 2]);
    await answer(2);
    assert.deepEqual([sent, freed], [[1], [1, 2]]);
  });

  test("that fail are told of once, and release what they hold", async () => {
    const { failures, freed, waiting, ask } = openQueue();
    ask(1, true);
    waiting.get(1)?.reject(new Error("a bug"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(failures.length, 1);
    assert.deepEqual(freed, [1]);
  });
});
