/**
 * `log verify` and `log repair`: what the log's files hold, looked at and put right while no Millrace runs on them.
 */
import { join, resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { realDisk } from "../../base/real-disk.ts";
import { lockDirectory } from "../../log/directory-lock.ts";
import type { Finding as LogFinding } from "../../log/verify/finding.ts";
import { repairLog } from "../../log/verify/repair-log.ts";
import { isEmptyPlan, planRepair, type RepairPlan } from "../../log/verify/repair-plan.ts";
import { wordsOf } from "../../log/verify/repair-words.ts";
import { type LogSurvey, surveyLog, type VerifyTotals } from "../../log/verify/verify-log.ts";
import { AmountProgress } from "../amount-progress.ts";
import { type CommandContext, type CommandModule, printJson, settingsIn } from "../command.ts";
import { printBytes, printCount, printNumber, printSpan } from "../quantity.ts";
import { printable, wrap } from "../table.ts";
import type { Terminal } from "../terminal.ts";

interface LogOptions {
  readonly data?: string;
  readonly topic?: string;
  readonly json?: true;
}

interface VerifyOptions extends LogOptions {
  readonly deep?: true;
}

interface RepairOptions extends LogOptions {
  readonly partition?: string;
  readonly yes?: true;
}

const failedExit = 1;
/** Wait for a decision, and run it again. */
const unansweredExit = 4;

export const logCommand: CommandModule = (program, context) => {
  const log = program.command("log").description("the log's files, while no Millrace runs on them: verify, repair");
  log
    .command("verify")
    .description("read all of the log and say what is damaged; changes nothing")
    .option("--data <dir>", "the data directory, in place of MILLRACE_DATA")
    .option("--topic <name>", "this topic only")
    .option("--deep", "also decompress, and look at each record")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      `
Stop Millrace first. Exit code 1 when something is damaged; what a crash left, which the next start puts right, is no damage.

Examples:
  $ millrace log verify
  $ millrace log verify --data /var/lib/millrace --topic orders --deep`,
    )
    .action((options: VerifyOptions) => verify(options, context));
  log
    .command("repair")
    .description("say what a repair of the damage would do, and with --yes do it")
    .option("--data <dir>", "the data directory, in place of MILLRACE_DATA")
    .option("--topic <name>", "this topic only")
    .option("--partition <number>", "this partition of the topic only")
    .option("--yes", "do it without asking")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      `
All records that can be read are kept, at their offsets. What is taken away is copied to <data>/log/repaired first.
On a terminal it asks; elsewhere it ends with exit code 4 unless --yes is given, and nothing is changed.

Examples:
  $ millrace log repair
  $ millrace log repair --topic orders --partition 0 --yes`,
    )
    .action((options: RepairOptions) => repair(options, context));
};

async function verify(options: VerifyOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  await withLog(options, context, async (directory) => {
    const survey = await look(directory, options, context);
    const { logId, findings, totals } = survey;
    if (options.json) printJson(terminal, { logId, items: findings, totals, next: null });
    else printSurvey(terminal, survey, directory);
    if (damageOf(findings).length > 0) context.fail(failedExit);
  });
}

async function repair(options: RepairOptions, context: CommandContext): Promise<void> {
  const { terminal } = context;
  const choice = choiceOf(options);
  await withLog(options, context, async (directory) => {
    const survey = await look(directory, {}, context);
    const plan = planRepair(survey, choice);
    const json = { logId: survey.logId, items: survey.findings, plan: wordsOf(plan), left: plan.left };
    if (isEmptyPlan(plan)) {
      if (options.json) printJson(terminal, { ...json, done: false, folder: null });
      else printNothing(terminal, plan);
      return;
    }
    if (!options.json) printPlan(terminal, survey, plan);
    if (!options.yes && (options.json || !(await isWanted(context)))) {
      if (options.json) printJson(terminal, { ...json, done: false, folder: null });
      else terminal.note("nothing was changed; millrace log repair --yes does it");
      return context.fail(unansweredExit);
    }
    const folder = await repairLog({ disk: realDisk, directory, clock: context.clock }, survey, plan);
    const after = await look(directory, {}, context);
    const left = damageOf(after.findings).length;
    if (options.json) printJson(terminal, { ...json, done: true, folder, damageLeft: left });
    else {
      terminal.print(`repaired; what was taken away is in ${folder}`);
      if (left > 0) terminal.print(`${printNumber(left, "finding")} of damage left: run millrace log verify`);
    }
    if (left > 0) context.fail(failedExit);
  });
}

/** Throws `USAGE_INVALID` for a partition that is none, or that has no topic. */
function choiceOf({ topic, partition }: RepairOptions): { topics?: readonly string[]; partition?: number } {
  if (partition === undefined) return topic === undefined ? {} : { topics: [topic] };
  if (topic === undefined || !/^\d{1,9}$/.test(partition)) {
    throw new MillraceError("USAGE_INVALID", `--partition is "${partition}"`, {
      hint: "It is a number, and goes with --topic.",
    });
  }
  return { topics: [topic], partition: Number(partition) };
}

async function withLog(
  { data }: LogOptions,
  context: CommandContext,
  act: (directory: string) => Promise<void>,
): Promise<void> {
  const { clock, directory: here } = context;
  const dataDirectory = data === undefined ? settingsIn(here).dataDirectory : resolve(here, data);
  const directory = join(dataDirectory, "log");
  if (!(await realDisk.exists(directory))) {
    throw new MillraceError("USAGE_INVALID", `there is no log in ${dataDirectory}`, {
      hint: "Name the data directory with --data, or with MILLRACE_DATA.",
    });
  }
  const lock = await lockDirectory({ directory: dataDirectory, disk: realDisk, clock });
  try {
    await act(directory);
  } finally {
    await lock.release();
  }
}

async function look(directory: string, options: VerifyOptions, context: CommandContext): Promise<LogSurvey> {
  const { terminal, clock } = context;
  const progress = new AmountProgress(terminal, "read", printBytes);
  try {
    return await surveyLog({
      disk: realDisk,
      directory,
      clock,
      deep: options.deep === true,
      onProgress: ({ bytesDone, bytesTotal }) => progress.show(bytesDone, bytesTotal),
      ...(options.topic === undefined ? {} : { topics: [options.topic] }),
    });
  } finally {
    progress.close();
  }
}

/** Nobody is asked where nobody looks. */
async function isWanted({ terminal, input }: CommandContext): Promise<boolean> {
  if (!terminal.interactive) return false;
  terminal.errors.write("Do it? [y/N] ");
  for await (const chunk of input) return /^\s*y(es)?\s*$/i.test(Buffer.from(chunk).toString("utf8"));
  return false;
}

function damageOf(findings: readonly LogFinding[]): LogFinding[] {
  return findings.filter(({ severity }) => severity === "damage");
}

function printSurvey(terminal: Terminal, { findings, totals }: LogSurvey, directory: string): void {
  printFindings(terminal, findings, directory);
  printTotals(terminal, totals);
  const damage = damageOf(findings).length;
  if (damage === 0) terminal.print(`${terminal.style("green", "ok")}  nothing is damaged`);
  else {
    terminal.print(
      `${terminal.style("red", "damaged")}  ${printNumber(damage, "finding")}; millrace log repair says what can be done`,
    );
  }
}

function printFindings(terminal: Terminal, findings: readonly LogFinding[], directory: string): void {
  const marks = {
    damage: terminal.style("red", "damage"),
    torn: terminal.style("yellow", "torn  "),
    note: terminal.style("dim", "note  "),
  };
  const indent = "        ";
  const line = (text: string): void => {
    for (const part of wrap(printable(text), terminal.columns, indent.length)) terminal.print(indent + part);
  };
  for (const finding of findings) {
    terminal.print(`${marks[finding.severity]}  ${printable(placeOf(finding))} (${finding.code})`);
    line(finding.message.replaceAll(`${directory}/`, ""));
    const at = finding.bytePosition === null ? "" : `, byte ${finding.bytePosition}`;
    line(`${finding.path.replace(`${directory}/`, "")}${at}`);
    if (finding.severity === "damage") line(finding.wayOut);
  }
}

function placeOf({ topic, partition, offset }: LogFinding): string {
  if (topic === null) return "the log";
  const at = offset === null ? "" : `, offset ${offset}`;
  return `topic ${topic}${partition === null ? "" : `, partition ${partition}`}${at}`;
}

function printTotals(terminal: Terminal, totals: VerifyTotals): void {
  const { topics, partitions, segments, batches, records, bytes, seconds } = totals;
  terminal.print(
    [
      `looked at ${printNumber(topics, "topic")}`,
      printNumber(partitions, "partition"),
      printNumber(segments, "segment"),
      batches === 1 ? "1 batch" : `${printCount(batches)} batches`,
      `${printNumber(records, "record")}`,
      `${printBytes(bytes)} in ${printSpan(seconds * 1000)}`,
    ].join(", "),
  );
}

function printNothing(terminal: Terminal, { left }: RepairPlan): void {
  if (left.length === 0) terminal.print("nothing is damaged; nothing to repair");
  for (const line of left) terminal.print(line);
}

function printPlan(terminal: Terminal, survey: LogSurvey, plan: RepairPlan): void {
  terminal.print(`${printNumber(damageOf(survey.findings).length, "finding")} of damage; the repair would:`);
  for (const line of [...wordsOf(plan), ...plan.left]) {
    const [first = "", ...more] = wrap(printable(line), terminal.columns, 4);
    terminal.print(`  - ${first}`);
    for (const part of more) terminal.print(`    ${part}`);
  }
}
