/** One installation at a time, also when several commands begin in a fresh clone at once. */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Runs `act` while holding `<folder>/install.lock`; waits for whoever holds it, and takes it over from the dead. */
export async function withInstallLock(folder, act) {
  const lock = join(folder, "install.lock");
  mkdirSync(folder, { recursive: true });
  let said = false;
  while (!take(lock)) {
    const holder = readHolder(lock);
    if (holder === undefined) continue;
    if (!isAlive(holder)) {
      takeAway(lock, holder);
      continue;
    }
    if (!said) console.error(`millrace: process ${holder} is installing; waiting for it`);
    said = true;
    await sleep(200);
  }
  const release = () => rmSync(lock, { force: true });
  process.on("exit", release);
  try {
    return await act();
  } finally {
    process.off("exit", release);
    release();
  }
}

/** The file appears with its content at once: written beside, then linked. */
function take(lock) {
  const own = `${lock}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function readHolder(lock) {
  try {
    return Number(readFileSync(lock, "utf8"));
  } catch {
    return undefined;
  }
}

/** Two may see the same dead holder: only one can rename the file away, and a lock that is somebody else's goes back. */
function takeAway(lock, holder) {
  const aside = `${lock}.${process.pid}.stale`;
  try {
    renameSync(lock, aside);
    if (readHolder(aside) !== holder) linkSync(aside, lock);
  } catch {
    // Somebody else was faster: the loop looks again.
  } finally {
    rmSync(aside, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
