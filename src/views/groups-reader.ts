/**
 * All groups of views as one reader, which asks that of the group that a view is in.
 *
 * Always true: a position of another group than `main` says so, and so do the tokens and ids that are made of it: what is
 * of one group is never taken for a place in another.
 */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { mainGroup } from "../catalog/definitions.ts";
import { anyone, type Caller } from "./policy/caller.ts";
import type { ChangesAnswer, GroupPosition, ViewRead, ViewsReader, WaitTarget } from "./view-info.ts";

/** Which groups there are, and what is in which. */
export interface GroupRoutes {
  readonly clock: Clock;
  /** `main` first. */
  names(): string[];
  /** Of this group, or of `main` where there is none of the name. */
  readerOf(group: string): ViewsReader;
  /** The group that a view is in; `main` of one that nobody knows. */
  placeOf(view: string): string;
  /** Whether a view is not defined for another group: what that has left behind here is no view any more. */
  isAt(view: string, group: string): boolean;
  /** What the group's sources and topics have to be read up to, to show what it shows; null where it is not open. */
  inputsOf(group: string): readonly WaitTarget[] | null;
  onChange(listener: () => void): () => void;
}

export class GroupsReader implements ViewsReader {
  readonly #routes: GroupRoutes;
  readonly #caller: Caller;

  constructor(routes: GroupRoutes, caller: Caller = anyone) {
    this.#routes = routes;
    this.#caller = caller;
  }

  as(caller: Caller): ViewsReader {
    return new GroupsReader(this.#routes, caller);
  }

  list: ViewsReader["list"] = () =>
    this.#routes.names().flatMap((group) => {
      const own = this.#readerOf(group)
        .list()
        .filter(({ name }) => this.#routes.isAt(name, group));
      return group === mainGroup ? own : own.map((view) => ({ ...view, group }));
    });

  info: ViewsReader["info"] = (view) => {
    const [group, reader] = this.#of(view);
    const info = reader.info(view);
    return group === mainGroup ? info : { ...info, group };
  };

  position: ViewsReader["position"] = (view) => {
    const [group, reader] = view === undefined ? ([mainGroup, this.#readerOf(mainGroup)] as const) : this.#of(view);
    return named(group, reader.position(view));
  };

  onChange: ViewsReader["onChange"] = (listener) => this.#routes.onChange(listener);

  explain: ViewsReader["explain"] = (view) => this.#of(view)[1].explain(view);

  rows: ViewsReader["rows"] = (view, query) => {
    const [group, reader] = this.#of(view);
    return stating(group, reader.rows(view, query));
  };

  row: ViewsReader["row"] = (view, key, select, options) => {
    const [group, reader] = this.#of(view);
    const answer = reader.row(view, key, select, options);
    if (group === mainGroup) return answer;
    if (answer instanceof Promise) return stating(group, answer);
    return { ...answer, position: named(group, answer.position) };
  };

  graph: ViewsReader["graph"] = (view, query, signal) => {
    const [group, reader] = this.#of(view);
    return stating(group, reader.graph(view, query, signal));
  };

  snapshot: ViewsReader["snapshot"] = (view, filter, select) => {
    const [group, reader] = this.#of(view);
    return stating(group, reader.snapshot(view, filter, select));
  };

  readAll: ViewsReader["readAll"] = async (reads) => {
    const [first, other] = [...new Set(reads.map(({ view }) => this.#routes.placeOf(view)))];
    if (other !== undefined) {
      throw new MillraceError("READ_ACROSS_GROUPS", `the reads are of views of groups "${first}" and "${other}"`, {
        hint: "One snapshot is of one group: read the views of each group in a request of its own.",
        details: { groups: [first, other] },
      });
    }
    const group = first ?? mainGroup;
    return await stating(group, this.#readerOf(group).readAll(reads));
  };

  changesSince: ViewsReader["changesSince"] = async (view, from, filter, select) => {
    const [group, reader] = this.#of(view);
    if (isOf(group, from)) return changesOf(group, await reader.changesSince(view, from, filter, select));
    return { outcome: "gap", reason: "the view is in another group now", current: this.position(view) };
  };

  changesSinceEach: ViewsReader["changesSinceEach"] = async (view, from, filters, select, callers) => {
    const [group, reader] = this.#of(view);
    if (!isOf(group, from)) return null;
    const answers = await reader.changesSinceEach(view, from, filters, select, callers);
    return answers?.map((answer) => changesOf(group, answer)) ?? null;
  };

  changesOf: ViewsReader["changesOf"] = async (view, position, filter, select) => {
    const [group, reader] = this.#of(view);
    return isOf(group, position) ? await reader.changesOf(view, position, filter, select) : null;
  };

  /**
   * What names a position of one group is waited for there. Who then reads in another one waits until that has what the first
   * one was made of: its sources and topics, as far as it had read them.
   */
  waitFor: ViewsReader["waitFor"] = async (target, waitMs, signal, reads = []) => {
    const { clock } = this.#routes;
    const untilMs = clock.monotonicMs() + waitMs;
    const byGroup = Map.groupBy(reads, ({ view }) => this.#routes.placeOf(view));
    if (target.kind !== "group") {
      const groups = byGroup.size === 0 ? [mainGroup] : [...byGroup.keys()];
      const waits = groups.map((one) => this.#readerOf(one).waitFor(target, waitMs, signal, byGroup.get(one) ?? []));
      await Promise.all(waits);
      return;
    }
    const own = target.position.group ?? mainGroup;
    if (!this.#routes.names().includes(own)) throw foreign(own);
    await this.#readerOf(own).waitFor(target, waitMs, signal, byGroup.get(own) ?? []);
    byGroup.delete(own);
    if (byGroup.size === 0) return;
    const leftMs = Math.max(0, untilMs - clock.monotonicMs());
    const inputs = this.#routes.inputsOf(own);
    // Nobody knows what it is made of: its reader says why.
    if (inputs === null) return await this.#readerOf(own).waitFor(target, leftMs, signal, reads);
    const others = [...byGroup].flatMap(([name, its]) =>
      inputs.map((input) => this.#readerOf(name).waitFor(input, leftMs, signal, its)),
    );
    await Promise.all(others);
  };

  sourcesOf: ViewsReader["sourcesOf"] = (reads) => [
    ...new Set(this.#byGroup(reads).flatMap(([reader, its]) => reader.sourcesOf(its))),
  ];

  endsOfTopics: ViewsReader["endsOfTopics"] = async (reads) =>
    (await Promise.all(this.#byGroup(reads).map(([reader, its]) => reader.endsOfTopics(its)))).flat();

  rowCache: ViewsReader["rowCache"] = () =>
    this.#routes.names().flatMap((group) => {
      return this.#readerOf(group)
        .rowCache()
        .map((figures) => (group === mainGroup ? figures : { ...figures, group }));
    });

  query: ViewsReader["query"] = async (sql, limits, signal, group = mainGroup) => {
    const names = this.#routes.names();
    if (!names.includes(group)) {
      throw new MillraceError(
        "VIEW_GROUP_UNKNOWN",
        `there is no group of views ${JSON.stringify(group.slice(0, 80))}`,
        {
          hint: `There are ${names.join(", ")}.`,
        },
      );
    }
    return await this.#readerOf(group).query(sql, limits, signal);
  };

  close: ViewsReader["close"] = () => {
    for (const group of this.#routes.names()) this.#readerOf(group).close();
  };

  #readerOf(group: string): ViewsReader {
    const reader = this.#routes.readerOf(group);
    return this.#caller.kind === "anyone" ? reader : reader.as(this.#caller);
  }

  #of(view: string): readonly [group: string, reader: ViewsReader] {
    const group = this.#routes.placeOf(view);
    return [group, this.#readerOf(group)];
  }

  #byGroup(reads: readonly ViewRead[]): [ViewsReader, readonly ViewRead[]][] {
    return [...Map.groupBy(reads, ({ view }) => this.#routes.placeOf(view))].map(([group, its]) => [
      this.#readerOf(group),
      its,
    ]);
  }
}

function isOf(group: string, position: GroupPosition): boolean {
  return (position.group ?? mainGroup) === group;
}

function named(group: string, position: GroupPosition): GroupPosition {
  return group === mainGroup ? position : { ...position, group };
}

async function stating<T extends { readonly position: GroupPosition }>(group: string, answer: Promise<T>): Promise<T> {
  const found = await answer;
  return group === mainGroup ? found : { ...found, position: named(group, found.position) };
}

function changesOf(group: string, answer: ChangesAnswer): ChangesAnswer {
  if (group === mainGroup) return answer;
  if (answer.outcome === "gap") return { ...answer, current: named(group, answer.current) };
  const batches = answer.batches.map((batch) => ({ ...batch, position: named(group, batch.position) }));
  return { ...answer, batches, upTo: named(group, answer.upTo) };
}

function foreign(group: string): MillraceError {
  return new MillraceError("TOKEN_FOREIGN", `the token is of a group of views "${group}", which there is not`, {
    hint: "The group is not defined any more: ask again without the token.",
    details: { group },
  });
}
