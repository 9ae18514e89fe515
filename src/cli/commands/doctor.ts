import { existsSync } from "node:fs";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import { systemRandom } from "../../base/random.ts";
import { realDisk } from "../../base/real-disk.ts";
import type { GroupDefinition } from "../../catalog/definitions.ts";
import { descriptorsMax } from "../../descriptors.ts";
import { checkCluster } from "../../engine/cluster/cluster-checks.ts";
import { clusterOptionsOf } from "../../ground.ts";
import { planConnections } from "../../http/door-settings.ts";
import { TopicCatalogue } from "../../log/topic-catalogue.ts";
import { readRunningFile } from "../../running-file.ts";
import type { PortSetting, Settings } from "../../settings.ts";
import { serverAccount } from "../../store/account.ts";
import { findBinaries } from "../../store/binaries.ts";
import { openOwnServer } from "../../store/own-server.ts";
import { choosePort } from "../../store/port.ts";
import { storeErrorOf } from "../../views/group-unit.ts";
import { type CommandContext, type CommandModule, printJson, settingsIn } from "../command.ts";
import { type Finding, finding, ok, printFindings, warning } from "../findings.ts";
import { loadDefinitions } from "../load-module.ts";
import { checkPlatform, thisMachine } from "../platform.ts";
import { printBytes, printCount, printNumber } from "../quantity.ts";
import { lookAtDefinition, lookAtUrl } from "../source-look.ts";

interface DoctorOptions {
  readonly source?: string;
  readonly json?: true;
}

const descriptorsWanted = 4_096;
const bytesWanted = 2 * 1024 ** 3;
const setUpExit = 3;

export const doctorCommand: CommandModule = (program, context) => {
  program
    .command("doctor [app.ts]")
    .description("look at this machine, the settings and the sources, and say what is missing")
    .option("--source <url>", "look at this database, in place of the sources of app.ts")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nChanges nothing. Exit code 3 when something fails.\n\nExamples:\n  $ millrace doctor\n  $ millrace doctor --source postgres://user:password@host:5432/database",
    )
    .action(async (file: string | undefined, options: DoctorOptions) => {
      const findings = await examine(file, options.source ?? null, context);
      if (options.json) printJson(context.terminal, { items: findings, next: null });
      else printFindings(context.terminal, findings);
      if (findings.some(({ state }) => state === "failed")) context.fail(setUpExit);
    });
};

/** Everything is looked at, whatever fails before it. */
export async function examine(
  file: string | undefined,
  source: string | null,
  { directory, clock }: Pick<CommandContext, "directory" | "clock">,
): Promise<Finding[]> {
  const module = resolve(directory, file ?? "app.ts");
  const settings = settingsIn(dirname(module));
  const running = await runningPid(settings.dataDirectory);
  const findings = await Promise.all([
    finding("machine", machine),
    finding("open files", descriptors),
    finding("data directory", () => dataDirectory(settings.dataDirectory, running)),
    finding("HTTP port", () => port("HTTP port", settings.http, running, "MILLRACE_PORT")),
    ...(settings.store === null
      ? [
          finding("store", () => embeddedStore(settings)),
          finding("store port", () => port("store port", settings.storePort, running, "MILLRACE_STORE_PORT")),
        ]
      : [finding("store", () => ownStore(settings.store ?? "", clock))]),
  ]);
  findings.push(...(await lookAtLog(settings, running, clock)));
  if (source !== null) return [...findings, ...(await lookAtUrl(source))];
  if (file === undefined && !existsSync(module)) {
    return [...findings, warning("definitions", "there is no app.ts here", "Run millrace init --source postgres://…")];
  }
  return [...findings, ...(await definitions(module, clock))];
}

/** The cluster that is the log; else the embedded one and the ports of its Kafka door. */
async function lookAtLog(
  { kafka: { cluster, listeners }, dataDirectory }: Settings,
  running: number | null,
  clock: CommandContext["clock"],
): Promise<Finding[]> {
  if (cluster) {
    const tools = { clock, random: systemRandom, diagnostics: silentDiagnostics };
    return await checkCluster({ ...clusterOptionsOf(cluster), ...tools });
  }
  return await Promise.all([
    finding("topics", () => durability(dataDirectory)),
    ...listeners.map((listener) => {
      const what = `Kafka port (${listener.name})`;
      const setting = { port: listener.port ?? 9092, required: listener.port !== null };
      return finding(what, () => port(what, setting, running, "MILLRACE_KAFKA_PORT"));
    }),
  ]);
}

async function definitions(module: string, clock: CommandContext["clock"]): Promise<Finding[]> {
  let sources: Finding[] = [];
  let stores: Finding[] = [];
  const loaded = await finding("definitions", async () => {
    const found = await loadDefinitions(module, clock);
    const databases = found.filter((one) => one.kind === "source");
    sources = (await Promise.all(databases.map(lookAtDefinition))).flat();
    const groups = found.filter((one) => one.kind === "group");
    stores = await Promise.all(groups.map((group) => groupStore(group, clock)));
    const views = found.length - databases.length - groups.length;
    return ok("definitions", `${module}: ${printNumber(databases.length, "source")}, ${printNumber(views, "view")}`);
  });
  return [loaded, ...stores, ...sources];
}

/** The version of Node.js is checked before anything else of Millrace is read. */
function machine(): Finding {
  const found = thisMachine();
  checkPlatform(found);
  return ok("machine", `Node.js ${process.versions.node} on ${found.platform} ${found.arch}`);
}

function descriptors(): Finding {
  const limit = descriptorsMax();
  const { subscribersMax } = planConnections(limit);
  const message = `${printCount(limit)}: room for ${printCount(subscribersMax)} subscribers`;
  if (limit >= descriptorsWanted) return ok("open files", message);
  return warning(
    "open files",
    message,
    "Raise the limit before starting: ulimit -n 65536, or LimitNOFILE= in a systemd unit.",
  );
}

async function runningPid(dataDirectory: string): Promise<number | null> {
  const running = await readRunningFile(dataDirectory);
  if (running === undefined) return null;
  try {
    process.kill(running.pid, 0);
    return running.pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM" ? running.pid : null;
  }
}

async function dataDirectory(path: string, running: number | null): Promise<Finding> {
  const what = "data directory";
  // A folder that is not there yet is made by the first start: what counts is the one above it.
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  const probe = join(existing, `.millrace-probe-${process.pid}`);
  try {
    if (existing === path) await mkdir(path, { recursive: true });
    await writeFile(probe, "probe");
  } catch (cause) {
    throw new MillraceError("DATA_DIRECTORY_UNUSABLE", `${existing} cannot be written: ${(cause as Error).message}`, {
      hint: "Choose one that this user can write, with MILLRACE_DATA.",
      cause,
    });
  } finally {
    await rm(probe, { force: true }).catch(() => {});
  }
  const { bavail, bsize } = await statfs(existing);
  const free = `${printBytes(bavail * bsize)} free`;
  if (bavail * bsize < bytesWanted)
    return warning(what, `${path}, only ${free}`, "Snapshots of large tables need room.");
  return ok(what, `${path}, ${free}${running === null ? "" : `, in use by the Millrace with pid ${running}`}`);
}

/** A topic of durability "os" is a choice, and one whose price should not be forgotten. */
async function durability(dataDirectory: string): Promise<Finding> {
  const topics = await TopicCatalogue.topicsIn(realDisk, join(dataDirectory, "log"));
  const weak = topics.filter(({ settings }) => settings.durability === "os").map(({ name }) => name);
  if (weak.length === 0) {
    return ok("topics", topics.length === 0 ? "none yet" : `${printNumber(topics.length, "topic")}, all durable`);
  }
  const named = weak.length > 5 ? `${weak.slice(0, 5).join(", ")} and ${weak.length - 5} more` : weak.join(", ");
  return warning(
    "topics",
    `appends to ${named} are answered before they are durable (durability os): a power cut can lose them`,
    `Run millrace topics alter ${weak[0]} --durability fsync, or leave it where losing the newest is no harm.`,
  );
}

async function port(what: string, setting: PortSetting, running: number | null, name: string): Promise<Finding> {
  if (running !== null) return ok(what, `held by the running Millrace (pid ${running}), or chosen at start`);
  if (setting.port === 0) return ok(what, "any that is free");
  try {
    return ok(what, `${await choosePort({ port: setting.port, required: true })} is free`);
  } catch (error) {
    if (!MillraceError.is(error, "PORT_TAKEN")) throw error;
    if (!setting.required) return warning(what, `${setting.port} is taken: the next free one will be used`);
    throw new MillraceError("PORT_TAKEN", `${name} is ${setting.port}, which is in use`, {
      hint: `Stop what listens there, or set ${name} to another one.`,
    });
  }
}

async function embeddedStore(settings: Settings): Promise<Finding> {
  const { version, postgres } = await findBinaries({
    binDirectory: settings.pgBin,
    copiesDirectory: join(tmpdir(), `millrace-programs-${process.getuid?.() ?? 0}`),
    account: await serverAccount(),
    diagnostics: silentDiagnostics,
  });
  return ok("store", `embedded PostgreSQL ${version} (${dirname(postgres)})`);
}

/** One that is beside the store of `main` is found with that. */
async function groupStore(group: GroupDefinition, clock: CommandContext["clock"]): Promise<Finding> {
  const what = `store of ${group.name}`;
  const { store } = group;
  if (store === null) return ok(what, "a database of its own beside that of group main");
  return await finding(what, async () => {
    try {
      return { ...(await ownStore(store, clock)), what };
    } catch (error) {
      throw storeErrorOf(group, MillraceError.from(error));
    }
  });
}

async function ownStore(url: string, clock: CommandContext["clock"]): Promise<Finding> {
  const login = await openOwnServer({
    url,
    openTimeoutMs: 0,
    clock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
  return ok("store", `PostgreSQL at ${login.host}:${login.port}, database ${login.database}`);
}
