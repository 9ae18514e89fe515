/**
 * The reader of a group whose store could not be opened yet: it knows the names of its views and why they cannot be read.
 */
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { GroupPosition, ViewInfo, ViewsReader } from "./view-info.ts";

const nowhere: GroupPosition = { generation: 0, batch: 0 };

export class AbsentGroupReader implements ViewsReader {
  readonly #definitions: () => readonly ViewDefinition[];
  readonly #problem: () => MillraceError;

  constructor(definitions: () => readonly ViewDefinition[], problem: () => MillraceError) {
    this.#definitions = definitions;
    this.#problem = problem;
  }

  /** Nobody is shown anything. */
  as(): this {
    return this;
  }

  list: ViewsReader["list"] = () => this.#definitions().map((definition) => this.#info(definition));

  info: ViewsReader["info"] = (view) => this.#info(this.#definition(view));

  position: ViewsReader["position"] = () => nowhere;
  onChange: ViewsReader["onChange"] = () => () => {};
  sourcesOf: ViewsReader["sourcesOf"] = () => [];
  endsOfTopics: ViewsReader["endsOfTopics"] = async () => [];
  rowCache: ViewsReader["rowCache"] = () => [];
  close: ViewsReader["close"] = () => {};

  explain: ViewsReader["explain"] = (view) => this.#refuse(view);
  rows: ViewsReader["rows"] = (view) => this.#refuse(view);
  row: ViewsReader["row"] = (view) => this.#refuse(view);
  graph: ViewsReader["graph"] = (view) => this.#refuse(view);
  snapshot: ViewsReader["snapshot"] = (view) => this.#refuse(view);
  changesSince: ViewsReader["changesSince"] = (view) => this.#refuse(view);
  changesSinceEach: ViewsReader["changesSinceEach"] = (view) => this.#refuse(view);
  changesOf: ViewsReader["changesOf"] = (view) => this.#refuse(view);
  readAll: ViewsReader["readAll"] = (reads) => this.#refuse(reads[0]?.view);
  query: ViewsReader["query"] = () => this.#refuse();

  /** Who only is not to go behind an earlier read goes behind nothing here; who is to read something learns why not. */
  waitFor: ViewsReader["waitFor"] = async (_target, _waitMs, _signal, reads = []) => {
    if (reads.length > 0) await this.#refuse();
  };

  async #refuse(view?: string): Promise<never> {
    if (view !== undefined) this.#definition(view);
    throw unavailable(this.#problem());
  }

  #definition(view: string): ViewDefinition {
    const found = this.#definitions().find(({ name }) => name === view);
    if (found) return found;
    throw new MillraceError("VIEW_UNKNOWN", `there is no view "${view}"`, { details: { view } });
  }

  #info({ name, sql, key }: ViewDefinition): ViewInfo {
    const state = { kind: "failed", error: this.#problem() } as const;
    const unknown = { class: "unknown", columns: [], hash: "", rowsEstimated: 0, changes: 0 } as const;
    return { name, sql: sql.text, key: key ?? [], state, ...unknown };
  }
}

/** Whatever it is that has to be mended, a reader can only come again. */
function unavailable(problem: MillraceError): MillraceError {
  if (problem.code === "STORE_UNAVAILABLE") return problem;
  return new MillraceError("STORE_UNAVAILABLE", problem.message, {
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    cause: problem,
  });
}
