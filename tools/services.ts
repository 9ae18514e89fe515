/**
 * The outside parts that `npm run test:services` runs against. What is missing is installed where that is possible
 * (Debian's packages, as root); else the tests that need it skip themselves with their reason.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { installDebeziumParts } from "./debezium-parts.ts";
import { findJdk, findKcat, findMaven, findPython, installKafkaParts } from "./kafka-parts.ts";
import { installOtherPostgres } from "./postgres-parts.ts";
import { installRegressionSuite } from "./postgres-sources.ts";

interface Service {
  readonly name: string;
  /** Debian's package. */
  readonly package: string;
  /** Where its program is, when it is there. */
  find(): string | undefined;
}

const services: readonly Service[] = [
  { name: "PostgreSQL", package: "postgresql", find: findPostgres },
  { name: "PostGIS", package: "postgresql-postgis", find: findPostgis },
  { name: "Chromium", package: "chromium", find: findChromium },
  { name: "strace", package: "strace", find: findStrace },
  { name: "Java", package: "default-jdk-headless", find: findJdk },
  { name: "Maven", package: "maven", find: findMaven },
  { name: "kcat", package: "kcat", find: findKcat },
  { name: "Python's environments", package: "python3-venv", find: findPython },
];

/** The folder with the server's programs (initdb, postgres, pgbench) of the newest major version. */
export function findPostgres(): string | undefined {
  const servers = globSync("/usr/lib/postgresql/*/bin/postgres").concat(
    globSync("/opt/homebrew/opt/postgresql@*/bin/postgres"),
  );
  const major = (path: string): number => Number(/(\d+)\/bin/.exec(path)?.[1] ?? 0);
  const newest = servers.sort((a, b) => major(a) - major(b)).at(-1);
  return newest?.slice(0, -"/postgres".length);
}

/** Of the newest server. */
export function findPostgis(): string | undefined {
  const version = /(\d+)\/bin$/.exec(findPostgres() ?? "")?.[1];
  const control = `/usr/share/postgresql/${version}/extension/postgis.control`;
  return existsSync(control) ? control : undefined;
}

export function findChromium(): string | undefined {
  return [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  ].find((path) => existsSync(path));
}

export function findStrace(): string | undefined {
  return ["/usr/bin/strace", "/usr/local/bin/strace"].find((path) => existsSync(path));
}

/** Never fails: a test without its part says so itself. */
export function installServices(): void {
  installPackages();
  installKafkaParts();
  installDebeziumParts();
  installOtherPostgres();
  installRegressionSuite();
}

function installPackages(): void {
  const missing = services.filter((service) => service.find() === undefined);
  if (missing.length === 0) return;
  const names = missing.map((service) => service.name).join(" and ");
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
    console.error(`services: ${names} cannot be installed here (needs apt-get and root)`);
    return;
  }
  console.error(`services: installing ${names}`);
  keepServersFromStarting();
  aptGet(["update"]);
  for (const service of missing) {
    aptGet(["install", "-y", "--no-install-recommends", service.package]);
    if (service.find() === undefined) console.error(`services: ${service.name} could not be installed`);
  }
}

/** Debian makes and starts a server when the package is installed; the tests start their own, on ports of their own. */
function keepServersFromStarting(): void {
  const settings = "/etc/postgresql-common/createcluster.conf";
  if (existsSync(settings)) return;
  mkdirSync("/etc/postgresql-common", { recursive: true });
  writeFileSync(settings, "create_main_cluster = false\n");
}

function aptGet(args: readonly string[]): void {
  const { status, stderr } = spawnSync("apt-get", ["-qq", "-o", "Dpkg::Options::=--force-confold", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    timeout: 5 * 60_000,
  });
  if (status !== 0) console.error(`services: apt-get ${args[0]}: ${stderr.trim().split("\n").at(-1) ?? ""}`);
}
