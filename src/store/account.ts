/**
 * The account that the embedded PostgreSQL runs under. PostgreSQL refuses to run as root, so root lends it an account
 * that the machine has; anybody else runs it under their own.
 */
import { readFile } from "node:fs/promises";
import { MillraceError } from "../base/errors.ts";
import { run } from "./child.ts";

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

/** Whether the account can enter and write a folder, tried and not computed: access lists and mounts count too. */
export async function canWrite(account: Account | null, directory: string): Promise<boolean> {
  const script = 'cd "$1" && test -w . && test -x .';
  return (await run("/bin/sh", ["-c", script, "sh", directory], { account })).exitCode === 0;
}
