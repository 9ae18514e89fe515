/** `millrace views rebuild`. */
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.ts";
import { AmountProgress } from "../amount-progress.ts";
import type { List, ViewAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import type { Api } from "../api.ts";
import { apiOf, type CommandContext, printJson } from "../command.ts";
import { printCount } from "../quantity.ts";

const lookEveryMs = 500;

interface RebuildOptions {
  readonly wait: boolean;
  readonly json?: true;
}

export function viewRebuildCommand(views: Command, context: CommandContext): void {
  const { terminal } = context;
  views
    .command("rebuild <view>")
    .description("build a view anew, such as one that failed; until that is done it is read as it is")
    .option("--no-wait", "only begin it")
    .option("--json", "as JSON")
    .action(async (name: string, { wait, json }: RebuildOptions) => {
      const api = apiOf(context);
      const begun = await api.post(`/v1/views/${segment(name)}/rebuild`, "application/json", "");
      const ended = wait ? await built(api, name, context) : null;
      if (json) return printJson(terminal, ended ?? begun);
      if (ended === null) terminal.print(`${name} is being built anew`);
      else terminal.print(`${name} is built anew: about ${printCount(Math.max(0, ended.rowsEstimated))} rows`);
    });
}

/** Looks until nothing of it is being built. Throws what it failed for. */
async function built(api: Api, name: string, { terminal, clock }: CommandContext): Promise<ViewAnswer> {
  const bar = new AmountProgress(terminal, `building ${name}`, (rows) => `${printCount(rows)} rows`);
  try {
    for (;;) {
      const { items } = (await api.get("/v1/views")) as List<ViewAnswer>;
      const view = items.find((one) => one.name === name);
      if (view === undefined) throw new MillraceError("VIEW_UNKNOWN", `view "${name}" is not defined any more`);
      const { state } = view;
      if (state.kind === "failed") {
        const { code, message, hint } = state.error;
        throw new MillraceError("VIEW_FAILED", message, { details: { view: name, code }, ...(hint ? { hint } : {}) });
      }
      const building = state.kind === "building" ? state : state.kind === "live" ? state.replacement : undefined;
      if (building === undefined) return view;
      if (building.rowsEstimated !== null && building.rowsEstimated > 0) {
        bar.show(building.rowsDone, Math.max(building.rowsDone, building.rowsEstimated));
      }
      await clock.sleep(lookEveryMs);
    }
  } finally {
    bar.close();
  }
}
