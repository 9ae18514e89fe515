/**
 * The account that the embedded PostgreSQL runs under. PostgreSQL refuses to run as root, so root lends it an account
 * that the machine has; anybody else runs it under their own.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { MillraceError } from "../base/errors.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** In the order of preference. `initdb` needs an account with a line in the passwd file, so a free number will not do. */
const lentAccounts = ["postgres", "_postgres", "nobody"];

/** Null when this process is not root: the server runs as this process does. Throws `STORE_START_FAILED`. */
export async function serverAccount(uid = process.getuid?.(), passwdFile = "/etc/passwd"): Promise<Account | null> {
  if (uid !== 0) return null;
  const account = chooseAccount(await readFile(passwdFile, "utf8").catch(() => ""));
  if (account) return account;
  throw new MillraceError(
    "STORE_START_FAILED",
    "PostgreSQL does not run as root, and this machine has neither an account `postgres` nor `nobody` to run it under",
    { hint: "Start Millrace as an ordinary user, or create the account: useradd --system --no-create-home postgres" },
  );
}

/** Pure: from the text of a passwd file. */
export function chooseAccount(passwd: string): Account | null {
  const accounts = passwd
    .split("\n")
    .map((line) => line.split(":"))
    .map(([name = "", , uid = "", gid = ""]) => ({ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }))
    .filter(({ uid }) => uid !== 0);
  for (const name of lentAccounts) {
    const found = accounts.find((account) => account.name === name);
    if (found) return found;
  }
  return null;
}

export interface Outcome {
  /** Null when a signal ended it, or it could not be started. */
  readonly exitCode: number | null;
  /** stdout and stderr, the last 4 MiB. */
  readonly output: string;
}

const outputCharactersMax = 4 * 1024 ** 2;

/** Runs a program to its end, as `account` when there is one. Never throws: a program that cannot be started is an outcome. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly account: Account | null; readonly cwd?: string; readonly input?: string },
): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = "";
    const take = (chunk: string) => {
      output = (output + chunk).slice(-outputCharactersMax);
    };
    let child: ReturnType<typeof spawn>;
    try {
      child = spawn(program, args, {
        ...spawnIdentity(options.account),
        cwd: options.cwd ?? "/",
        env: serverEnvironment(),
      });
    } catch (cause) {
      resolve({ exitCode: null, output: String(cause) });
      return;
    }
    child.stdout?.setEncoding("utf8").on("data", take);
    child.stderr?.setEncoding("utf8").on("data", take);
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
    child.once("error", (cause) => resolve({ exitCode: null, output: `${output}${cause.message}` }));
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}

export function spawnIdentity(account: Account | null): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

/** Nothing of ours reaches the server: PG* variables and locales of the user's shell would change what it does. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
}

/** Whether the account can enter and write a folder, tried and not computed: access lists and mounts count too. */
export async function canWrite(account: Account | null, directory: string): Promise<boolean> {
  const script = 'cd "$1" && test -w . && test -x .';
  return (await run("/bin/sh", ["-c", script, "sh", directory], { account })).exitCode === 0;
}
