/** Generated histories of the registry, against a model of it that is a few maps. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { json, type OpenRegistry, openRegistry } from "./registry.fixture.ts";
import { decideConfig, decideDeleteSubject, decideDeleteVersion } from "./registry-decisions.ts";
import type { RegistryState } from "./registry-state.ts";

const subjects = ["a", "b", "c"] as const;
const titles = ["one", "two", "three", "four"] as const;

type Step =
  | { readonly kind: "register"; readonly subject: string; readonly title: string }
  | { readonly kind: "delete"; readonly subject: string; readonly version: number | null; readonly permanent: boolean }
  | { readonly kind: "reopen" };

const subject = fc.constantFrom(...subjects);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("register"), subject, title: fc.constantFrom(...titles) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("delete"),
      subject,
      version: fc.option(fc.integer({ min: 1, max: 5 })),
      permanent: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen") }) },
) as fc.Arbitrary<Step>;

interface Version {
  readonly title: string;
  readonly id: number;
  deleted: boolean;
}

/** What the registry has to be like. */
class Model {
  readonly subjects = new Map<string, Map<number, Version>>();
  /** Of all times. */
  readonly titleOfId = new Map<number, string>();

  registered(name: string, title: string, id: number, version: number): void {
    const known = this.titleOfId.get(id);
    assert.ok(known === undefined || known === title, `id ${id} was that of ${known}, and is that of ${title}`);
    this.titleOfId.set(id, title);
    const versions = this.subjects.get(name) ?? new Map<number, Version>();
    this.subjects.set(name, versions);
    const live = [...versions].findLast(([, one]) => one.title === title && !one.deleted);
    if (live) assert.deepEqual([version, id], [live[0], live[1].id], "what is there is answered");
    else assert.equal(version, Math.max(0, ...versions.keys()) + 1);
    for (const [, others] of this.subjects) {
      for (const [, one] of others) if (one.title === title) assert.equal(one.id, id, "one schema has one id");
    }
    versions.set(version, { title, id, deleted: false });
  }

  /** The versions that go, or undefined where it is refused. */
  remove(name: string, version: number | null, permanent: boolean): number[] | undefined {
    const versions = this.subjects.get(name) ?? new Map<number, Version>();
    const meant = version === null ? [...versions] : [...versions].filter(([number]) => number === version);
    const going = version === null && !permanent ? meant.filter(([, one]) => !one.deleted) : meant;
    if (going.length === 0 || going.some(([, one]) => one.deleted !== permanent)) return undefined;
    for (const [number, one] of going) {
      if (permanent) versions.delete(number);
      else one.deleted = true;
    }
    if (versions.size === 0) this.subjects.delete(name);
    return going.map(([number]) => number);
  }

  assertIs(state: RegistryState): void {
    assert.deepEqual([...state.subjects()].sort(), [...this.subjects.keys()].sort());
    const used = new Set<number>();
    for (const [name, versions] of this.subjects) {
      const found = [...state.versions(name).values()].map(({ version, id, deleted }) => [version, { id, deleted }]);
      assert.deepEqual(
        found,
        [...versions].map(([version, { id, deleted }]) => [version, { id, deleted }]),
      );
      for (const { id, title } of versions.values()) {
        used.add(id);
        assert.equal(JSON.parse(state.schema(id)?.text ?? "{}").title, title);
      }
    }
    assert.equal(state.schemaCount, used.size, "what is registered nowhere is gone");
  }
}

async function take(open: OpenRegistry, model: Model, one: Exclude<Step, { kind: "reopen" }>): Promise<void> {
  const { registry } = open;
  if (one.kind === "register") {
    const { id, version } = await registry.register(one.subject, json({ title: one.title }));
    model.registered(one.subject, one.title, id, version);
    return;
  }
  const { subject: name, version, permanent } = one;
  const at = version === null ? undefined : registry.state.versions(name).get(version);
  const removing =
    version === null
      ? registry.change((state) => decideDeleteSubject(state, name, { permanent }))
      : at === undefined
        ? Promise.reject(new MillraceError("SCHEMA_VERSION_UNKNOWN", "there is none"))
        : registry.change((state) => decideDeleteVersion(state, at, { permanent })).then((number) => [number]);
  const expected = model.remove(name, version, permanent);
  if (expected) assert.deepEqual(await removing, expected);
  else await assert.rejects(removing, (error) => MillraceError.is(error));
}

test("whatever is registered and deleted, the registry is what the model says, and the topic read again is too", async () => {
  const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 8);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const disk = new SimulatedDisk(seededRandom(1));
      const model = new Model();
      let open = await openRegistry(disk);
      try {
        await open.registry.change((state) => decideConfig(state, null, { compatibility: "NONE" }));
        for (const one of steps) {
          if (one.kind === "reopen") {
            await open[Symbol.asyncDispose]();
            open = await openRegistry(disk);
          } else await take(open, model, one);
          model.assertIs(open.registry.state);
        }
        model.assertIs((await open.another()).state);
      } finally {
        await open[Symbol.asyncDispose]();
      }
    }),
    { numRuns: runs },
  );
});
