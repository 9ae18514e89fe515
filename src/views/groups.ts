/**
 * All groups of views of the process: `main`, which has to be there, and those beside it (`group-unit.ts`). Which views each of
 * them keeps, and where a view is; those who read ask `groups-reader.ts`.
 */
import type { Client } from "pg";
import { MillraceError } from "../base/errors.ts";
import type { Definitions } from "../catalog/collect.ts";
import { type GroupDefinition, mainGroup, type ViewDefinition } from "../catalog/definitions.ts";
import { unitOfGroup } from "../ownership/become-owner.ts";
import type { SchemaFile, TableShape } from "../schema/table-shape.ts";
import type { Store } from "../store/store.ts";
import { type Group, type GroupCondition, type GroupOptions, openGroup } from "./group.ts";
import { groupOf, ownerOf } from "./group-borders.ts";
import { GroupUnit, type GroupUnitOptions, type GroupWork } from "./group-unit.ts";
import { GroupsReader } from "./groups-reader.ts";
import { openReader } from "./reader.ts";
import { Unread } from "./unread.ts";
import type { GroupPosition, ViewsReader } from "./view-info.ts";

/** What the definitions say. */
export interface GroupsWork extends Pick<Definitions, "views" | "groups" | "sources"> {
  readonly topics: readonly TableShape[];
}

export interface GroupsOptions
  extends Omit<GroupOptions, "name" | "elsewhere" | "told" | keyof GroupWork>,
    Pick<GroupUnitOptions, "openStore" | "rowCacheBytesMax"> {
  readonly work: GroupsWork;
  /** A position of a group that readers of earlier processes know, beside what it has noted itself. */
  told?(group: string): GroupPosition | null;
}

export interface GroupStatus {
  readonly name: string;
  readonly condition: GroupCondition;
  readonly position: GroupPosition;
  /** Null where it was not to be had yet. */
  readonly store: Store | null;
}

/** How long the start waits for those beside `main`. */
const firstTriesMs = 5_000;

/** Resolves when `main` is open and each other group was tried. Throws what opening `main` throws. */
export async function openGroups(options: GroupsOptions): Promise<Groups> {
  const { work, openStore: _, rowCacheBytesMax, told, ...rest } = options;
  const places = new Map(placesOf(work.views));
  tellOfLeft(options);
  const unread = new Unread(options);
  const held: { group: Group | null } = { group: null };
  unread.hold(
    mainGroup,
    () => held.group,
    () => work.topics,
  );
  const group = await openGroup({
    ...rest,
    ...workOf(mainGroup, work),
    name: mainGroup,
    told: told?.(mainGroup) ?? null,
    elsewhere: isElsewhere(mainGroup, places),
  }).catch(async (error) => {
    await unread.close();
    throw error;
  });
  held.group = group;
  const reader = openReader({ group, store: options.store, clock: options.clock, rowCacheBytesMax });
  const groups = new Groups(options, places, { group, reader, store: options.store }, unread);
  const tried = new AbortController();
  const waited = options.clock.sleep(firstTriesMs, tried.signal).catch(() => {});
  await Promise.race([groups.start(), waited]);
  tried.abort();
  return groups;
}

interface MainGroup {
  readonly group: Group;
  readonly reader: ViewsReader;
  readonly store: Store;
}

export class Groups {
  /** Of all of them, as anyone. */
  readonly reader: ViewsReader;
  readonly #options: GroupsOptions;
  readonly #main: MainGroup;
  readonly #unread: Unread;
  readonly #units = new Map<string, GroupUnit>();
  readonly #listeners = new Set<() => void>();
  /** The group of each view that is defined. */
  readonly #places: Map<string, string>;
  #work: GroupsWork;

  constructor(options: GroupsOptions, places: Map<string, string>, main: MainGroup, unread: Unread) {
    this.#options = options;
    this.#places = places;
    this.#main = main;
    this.#unread = unread;
    this.#work = options.work;
    this.reader = new GroupsReader({
      clock: options.clock,
      names: () => [mainGroup, ...this.#units.keys()],
      readerOf: (group) => this.#units.get(group)?.reader ?? main.reader,
      placeOf: (view) => this.#placeOf(view),
      isAt: (view, group) => !isElsewhere(group, places)(view),
      inputsOf: (group) => (group === mainGroup ? main.group : this.#units.get(group)?.group)?.inputs() ?? null,
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    });
    main.reader.onChange(() => this.#changed());
  }

  /** Once, by `openGroups`. */
  async start(): Promise<void> {
    await Promise.all(this.#work.groups.map((definition) => this.#begin(definition)));
  }

  /** What each group is at, `main` first. */
  status(): GroupStatus[] {
    const { group, reader, store } = this.#main;
    const units = [...this.#units].map(([name, unit]): GroupStatus => {
      return { name, condition: unit.condition(), position: unit.reader.position(), store: unit.store };
    });
    return [{ name: mainGroup, condition: group.condition(), position: reader.position(), store }, ...units];
  }

  schemaFile(): SchemaFile {
    const file = this.#main.group.schemaFile();
    const others = [...this.#units.values()].flatMap(({ group }) => group?.schemaFile().views ?? []);
    const views = [...file.views, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
    return { ...file, views };
  }

  /**
   * Other definitions. Resolves when the views are arranged by them, in groups whose store answers. Throws what `Group.reload`
   * throws of `main`; the others have theirs all the same.
   */
  async reload(work: GroupsWork): Promise<void> {
    this.#work = work;
    this.#places.clear();
    for (const [view, group] of placesOf(work.views)) this.#places.set(view, group);
    for (const [name, unit] of this.#units) {
      const now = work.groups.find((one) => one.name === name);
      if (now?.store === unit.definition.store) continue;
      this.#units.delete(name);
      await unit.close();
    }
    const { definitions, sources, topics } = workOf(mainGroup, work);
    const [main] = await Promise.allSettled([
      this.#main.group.reload(definitions, sources, topics),
      ...work.groups.map((one) => this.#units.get(one.name)?.reload(workOf(one.name, work)) ?? this.#begin(one)),
    ]);
    this.#changed();
    if (main.status === "rejected") throw main.reason;
  }

  /** A connection to the store that a view is in, as `Store.connect`. */
  connect(name: string, view: string): Promise<Client> {
    const place = this.#placeOf(view);
    const store = place === mainGroup ? this.#main.store : this.#units.get(place)?.store;
    if (store) return store.connect(name);
    return Promise.reject(new MillraceError("STORE_UNAVAILABLE", `the store of group "${place}" is not to be had yet`));
  }

  /** Resolves when the building of it has begun. Throws `VIEW_UNKNOWN`, and what is the matter with the group. */
  async rebuild(view: string): Promise<void> {
    const place = this.#placeOf(view);
    const unit = this.#units.get(place);
    const condition = unit?.condition() ?? this.#main.group.condition();
    if (condition.kind !== "running") throw condition.error;
    await (unit?.group ?? this.#main.group).rebuild(view);
  }

  async stop(): Promise<void> {
    this.reader.close();
    await this.#unread.close();
    await Promise.all([...[...this.#units.values()].map((unit) => unit.close()), this.#main.group.close()]);
  }

  #begin(definition: GroupDefinition): Promise<void> {
    const { work: _, told, store: __, ...options } = this.#options;
    const { name } = definition;
    const unit = new GroupUnit({
      ...options,
      definition,
      unread: this.#unread,
      work: workOf(name, this.#work),
      told: told?.(name) ?? null,
      elsewhere: isElsewhere(name, this.#places),
      onChange: () => this.#changed(),
    });
    this.#units.set(name, unit);
    return unit.start();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Of one that is not defined any more, that which still has it; `main` answers for those that nobody knows. */
  #placeOf(view: string): string {
    const place = placeIn(this.#places, view);
    if (place !== undefined) return this.#units.has(place) ? place : mainGroup;
    const owner = ownerOf(view);
    for (const [name, { reader }] of this.#units) if (reader.list().some((one) => one.name === owner)) return name;
    return mainGroup;
  }
}

/** What nobody defines any more is kept by nobody, and thrown away by nobody. */
function tellOfLeft({ progress, work, diagnostics }: GroupsOptions): void {
  const defined = [mainGroup, ...work.groups.map(({ name }) => name)];
  for (const group of progress?.unitsOf(unitOfGroup("")) ?? []) {
    if (defined.includes(group)) continue;
    diagnostics.info("a group of views is not defined any more; its database is left as it is", { group });
  }
}

function placesOf(views: readonly ViewDefinition[]): [string, string][] {
  return views.map((view) => [view.name, groupOf(view)]);
}

function isElsewhere(group: string, places: ReadonlyMap<string, string>): (view: string) => boolean {
  return (view) => (placeIn(places, view) ?? group) !== group;
}

function placeIn(places: ReadonlyMap<string, string>, view: string): string | undefined {
  return places.get(ownerOf(view));
}

/** Every group follows all sources: which tables there are, and what views may read, is the same for all. */
function workOf(group: string, { views, sources, topics }: GroupsWork): GroupWork {
  return { definitions: views.filter((view) => groupOf(view) === group), sources, topics };
}
