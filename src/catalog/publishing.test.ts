import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as z from "zod";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { arrange } from "./collect.ts";
import {
  type Definition,
  postgres,
  sql,
  topic,
  type ViewOptions,
  view,
  type WebhookVerifier,
  webhook,
} from "./definitions.ts";
import { publishCycles } from "./publishing.ts";

const verify: WebhookVerifier = {
  kind: "verifier",
  name: "none",
  mediaTypes: null,
  keepHeaders: [],
  answer: "json",
  authenticate: null,
  verifies: true,
  verify: () => ({ ok: true }),
  id: () => undefined,
};
const shop = postgres("shop", { url: "postgres://127.0.0.1/shop", tables: ["orders"] });
const published = (name: string, publish: NonNullable<ViewOptions["publish"]>) =>
  view(name, sql`select 1 as id`, { publish });

function refused(code: ErrorCode, what: RegExp) {
  return (error: unknown) => {
    assert.ok(MillraceError.is(error, code), String(error));
    assert.match(`${error.message} ${error.hint}`, what);
    return true;
  };
}

describe("publishing a view", () => {
  test("to a name makes a compacted topic of it, which is among the definitions", () => {
    const { published: publications, topics } = arrange([published("cards", "cards-topic")]);
    const settings = { cleanup: "compact", durability: "fsync" };
    assert.deepEqual(publications, [{ view: "cards", topic: "cards-topic", settings }]);
    assert.deepEqual(
      topics.map(({ name, settings }) => [name, settings]),
      [["cards-topic", settings]],
    );
  });

  test("to a topic takes its settings and its schema, whether it is exported, named or only given", () => {
    const cards = topic("cards-topic", { partitions: 4, schema: z.object({ id: z.number() }) });
    const settings = { partitions: 4, cleanup: "compact", durability: "fsync" };
    const modules = [
      [published("cards", cards)],
      [cards, published("cards", cards)],
      [cards, published("cards", "cards-topic")],
    ];
    for (const definitions of modules) {
      const { published: publications, topics } = arrange(definitions);
      assert.deepEqual(publications, [{ view: "cards", topic: "cards-topic", settings }]);
      assert.deepEqual(
        topics.map((one) => [one.name, one.settings, one.schema]),
        [["cards-topic", settings, cards.schema]],
      );
    }
  });

  const modules: readonly (readonly [what: string, code: ErrorCode, said: RegExp, make: () => Definition[]])[] = [
    ["that is another view's", "PUBLISH_TOPIC_TAKEN", /view "a"/, () => [published("a", "t"), published("b", "t")]],
    ["of a source", "PUBLISH_TOPIC_TAKEN", /source "shop"/, () => [shop, published("a", "shop.public.orders")]],
    ["that a source could make", "PUBLISH_TOPIC_TAKEN", /source "shop"/, () => [shop, published("a", "shop.copy")]],
    [
      "of a webhook",
      "PUBLISH_TOPIC_TAKEN",
      /webhook "hook"/,
      () => [webhook("hook", { verify }), published("a", "hook")],
    ],
    [
      "with one name and two definitions",
      "DEFINITION_DUPLICATE",
      /another topic "t"/,
      () => [topic("t"), published("a", topic("t"))],
    ],
    [
      "that is defined not to be compacted",
      "PUBLISH_TOPIC_NOT_COMPACTED",
      /cleanup is "delete"/,
      () => [published("a", topic("t", { cleanup: "delete" }))],
    ],
    [
      "that forgets by time as well",
      "PUBLISH_TOPIC_NOT_COMPACTED",
      /"compact,delete"/,
      () => [topic("t", { cleanup: "compact,delete" }), published("a", "t")],
    ],
    [
      "that is not durable",
      "DEFINITION_INVALID",
      /not durable.*durability: "os"/s,
      () => [published("a", topic("t", { durability: "os" }))],
    ],
    ["of Avro", "DEFINITION_INVALID", /is AVRO/, () => [published("a", topic("t", { schema: { avro: '"string"' } }))]],
    ["of Millrace's own", "DEFINITION_INVALID", /Millrace's own/, () => [published("a", "_millrace.progress")]],
    ["with a name that is none", "DEFINITION_INVALID", /cannot be the name/, () => [published("a", "no spaces")]],
    [
      "that is something else",
      "DEFINITION_INVALID",
      /neither a name nor a topic/,
      () => [published("a", shop as never)],
    ],
    ["that is nothing", "DEFINITION_INVALID", /neither a name nor a topic/, () => [published("a", null as never)]],
  ];
  for (const [what, code, said, make] of modules) {
    test(`to a topic ${what} is refused`, () => assert.throws(() => arrange(make()), refused(code, said)));
  }
});

describe("publishing in a circle", () => {
  const reads: Readonly<Record<string, readonly string[]>> = {
    itself: ["t-itself"],
    a: ["elsewhere", "t-b"],
    b: ["t-c"],
    c: ["t-a"],
    behind: ["t-a"],
    free: ["elsewhere"],
  };
  const views = Object.keys(reads).map((name) => published(name, `t-${name}`));
  const errors = publishCycles(views, ({ name }) => reads[name] ?? []);

  test("is told of each view that is in it, with the way round", () => {
    assert.deepEqual([...errors.keys()].sort(), ["a", "b", "c", "itself"]);
    assert.ok([...errors.values()].every((error) => error.code === "PUBLISH_CYCLE"));
    assert.match(
      errors.get("a")?.message ?? "",
      /it reads topic "t-b" of view "b", which reads topic "t-c" of view "c", which reads topic "t-a" of view "a"/,
    );
    assert.match(errors.get("itself")?.message ?? "", /it reads topic "t-itself" of view "itself"$/);
  });

  test("is no matter of topics that nothing is published to", () => {
    assert.equal(publishCycles([view("a", sql`select 1`)], () => ["a", "t"]).size, 0);
  });
});
