/**
 * Applications that write to the source without regard to what happens to it: a transaction that fails is forgotten, a
 * connection that is gone is made anew. What was committed is known to the source alone.
 */
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import type { Random } from "../../../src/base/random.ts";
import { placeLock } from "./source.ts";

export interface WriterOptions {
  readonly url: string;
  readonly random: Random;
  /** Rows of the largest transactions. */
  readonly bulkRows: number;
  readonly signal: AbortSignal;
  /** Told when most of the large transactions begin and end: a source that is killed all the time commits none. */
  readonly onLarge?: (running: boolean) => void;
}

export interface WriterReport {
  committed: number;
  failed: number;
  prepared: number;
  /** Transactions of `bulkRows` rows or more. */
  bulk: number;
  truncates: number;
}

const keys = 3_000;

/** Small transactions of all kinds, and now and then a larger one, until the signal is aborted. */
export async function write(options: WriterOptions): Promise<WriterReport> {
  const writer = new Writer(options);
  await writer.run((client) => writer.anything(client));
  return writer.report;
}

/** The large ones, one after the other. */
export async function writeBulk(options: WriterOptions): Promise<WriterReport> {
  const writer = new Writer(options);
  await writer.run((client) => writer.bulk(client));
  return writer.report;
}

/** Prepared transactions that lost their program end one way or the other. */
export async function endPrepared(client: pg.Client, random: Random): Promise<void> {
  const { rows } = await client.query<{ gid: string }>("select gid from pg_prepared_xacts");
  for (const { gid } of rows) {
    await client.query(`${random.below(2) === 0 ? "commit" : "rollback"} prepared '${gid}'`);
  }
}

class Writer {
  readonly report: WriterReport = { committed: 0, failed: 0, prepared: 0, bulk: 0, truncates: 0 };
  readonly #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  async run(transaction: (client: pg.Client) => Promise<void>): Promise<void> {
    const { url, signal } = this.#options;
    while (!signal.aborted) {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => {});
      try {
        await client.connect();
        while (!signal.aborted) await this.#one(client, transaction);
      } catch {
        await systemClock.sleep(50);
      } finally {
        await client.end().catch(() => {});
      }
    }
  }

  /** Throws when the connection is gone. */
  async #one(client: pg.Client, transaction: (client: pg.Client) => Promise<void>): Promise<void> {
    await systemClock.sleep(this.#below(20));
    try {
      await transaction(client);
      this.report.committed++;
    } catch (error) {
      this.report.failed++;
      // A class of two letters and three digits: the server has refused a statement, and is there.
      if (!(error instanceof pg.DatabaseError) || /^(57|08)/.test(error.code ?? "")) throw error;
      await client.query("rollback");
    }
  }

  async anything(client: pg.Client): Promise<void> {
    const dice = this.#below(100);
    if (dice < 30) await this.#commit(client, () => this.#transfer(client));
    else if (dice < 75) {
      await this.#commit(client, async () => {
        const changes = 1 + this.#below(4);
        for (let i = 0; i < changes; i++) await this.#change(client);
      });
    } else if (dice < 88) await this.#commit(client, () => this.#savepoints(client));
    else if (dice < 93) await this.#prepared(client);
    else if (dice < 97) await this.#commit(client, () => this.#fill(client, 500 + this.#below(1_500)));
    else if (dice < 98) await this.#rolledBack(client);
    else if (this.#below(4) === 0) {
      await this.#commit(client, async () => {
        await client.query(`truncate ${this.#pick(["bulk", "whole"])}`);
        this.report.truncates++;
        await this.#change(client);
      });
    } else await this.#commit(client, () => client.query("insert into noise values ('x')"));
  }

  async bulk(client: pg.Client): Promise<void> {
    const { bulkRows } = this.#options;
    // The larger they are, the fewer: what they write is all read back at the end.
    await systemClock.sleep((bulkRows / 100) * (1 + this.#below(3)));
    const dice = this.#below(10);
    const batch = 1 + this.#below(2);
    const told = this.#below(4) > 0 ? this.#options.onLarge : undefined;
    told?.(true);
    try {
      await this.#commit(client, () => this.#changeBulk(client, dice, batch));
    } finally {
      told?.(false);
    }
    this.report.bulk++;
  }

  async #changeBulk(client: pg.Client, dice: number, batch: number): Promise<void> {
    if (dice < 6) {
      await client.query("delete from bulk where batch = $1", [batch]);
      await this.#insertBulk(client, batch, this.#options.bulkRows);
      if (dice < 3) {
        await client.query("savepoint a");
        await client.query("update bulk set v = v + 1 where batch = $1 and n % 3 = 0", [batch]);
        await client.query("savepoint b");
        await client.query("delete from bulk where batch = $1 and n % 5 = 0", [batch]);
        await client.query(`${this.#pick(["rollback to", "release"])} b`);
        await client.query(`${this.#pick(["rollback to", "release"])} a`);
      }
    } else if (dice < 8) await client.query("update bulk set v = v + 1 where batch = $1", [batch]);
    else await client.query("delete from bulk where batch = $1", [batch]);
  }

  async #commit(client: pg.Client, work: () => Promise<unknown>): Promise<void> {
    await client.query("begin");
    if (this.#below(3) === 0) await client.query("set local synchronous_commit = off");
    await work();
    await client.query(`select pg_advisory_xact_lock(${placeLock})`);
    await client.query("insert into places default values");
    await client.query("commit");
  }

  async #rolledBack(client: pg.Client): Promise<void> {
    await client.query("begin");
    await this.#fill(client, 1_000);
    await this.#transfer(client);
    await client.query("rollback");
  }

  /** In two phases. Nobody knows its place: between them others commit. */
  async #prepared(client: pg.Client): Promise<void> {
    await endPrepared(client, this.#options.random);
    const gid = `fire-${this.#options.random.uuid()}`;
    await client.query("begin");
    await this.#transfer(client);
    if (this.#below(3) === 0) await this.#fill(client, 1_500);
    await this.#change(client);
    await client.query(`prepare transaction '${gid}'`);
    await systemClock.sleep(this.#below(100));
    this.report.prepared++;
    await client.query(`${this.#below(4) === 0 ? "rollback" : "commit"} prepared '${gid}'`);
  }

  /** Work that is kept, work that is undone, nested and in a row; sometimes more than the server keeps in memory. */
  async #savepoints(client: pg.Client): Promise<void> {
    const depth = 1 + this.#below(3);
    for (let i = 0; i < depth; i++) {
      await client.query(`savepoint s${i}`);
      await this.#change(client);
      if (this.#below(4) === 0) await this.#fill(client, 300 + this.#below(1_000));
    }
    for (let i = depth - 1; i >= 0; i--) {
      if (this.#below(2) === 0) await client.query(`rollback to s${i}`);
      else await client.query(`release s${i}`);
      await this.#change(client);
    }
  }

  /** Money moves; locks are taken in one order, so that no two transfers wait for each other. */
  async #transfer(client: pg.Client): Promise<void> {
    const [a, b, amount] = [1 + this.#below(100), 1 + this.#below(100), this.#below(50)];
    if (a === b) return;
    const step = "update accounts set balance = balance + $2 where id = $1";
    await client.query(step, a < b ? [a, -amount] : [b, amount]);
    await client.query(step, a < b ? [b, amount] : [a, -amount]);
  }

  async #fill(client: pg.Client, rows: number): Promise<void> {
    const batch = 10 + this.#below(20);
    await client.query("delete from bulk where batch = $1", [batch]);
    await this.#insertBulk(client, batch, rows);
  }

  async #insertBulk(client: pg.Client, batch: number, rows: number): Promise<void> {
    await client.query("insert into bulk select $1, i, $2 + i from generate_series(1, $3) i", [
      batch,
      this.#below(1_000),
      rows,
    ]);
  }

  async #change(client: pg.Client): Promise<void> {
    const [id, other, v] = [this.#below(keys), this.#below(keys), this.#below(1_000_000)];
    const table = this.#pick(["items", "items", "whole"]);
    const text = table === "items" ? "doc" : "note";
    const large = "(select string_agg(md5($3 || i::text), '') from generate_series(1, 100) i)";
    const insert = `insert into ${table} (id, v, ${text}) values ($1, $2, ${large}) on conflict (id) do nothing`;
    switch (this.#below(7)) {
      case 0:
        await client.query(insert, [id, v, String(v)]);
        return;
      case 1:
        await client.query(`update ${table} set v = $2 where id = $1`, [id, v]);
        return;
      case 2:
        await client.query(`update ${table} set v = $2, ${text} = ${large} where id = $1`, [id, v, String(v)]);
        return;
      case 3:
        await client.query(`delete from ${table} where id = $1`, [id]);
        return;
      case 4:
        await client.query(
          `update ${table} set id = $2 where id = $1 and not exists (select 1 from ${table} where id = $2)`,
          [id, other],
        );
        return;
      case 5:
        await client.query(`delete from ${table} where id = $1`, [id]);
        await client.query(insert, [id, v, String(v)]);
        return;
      default:
        await client.query(`update ${table} set v = v + 1 where id between $1 and $2`, [id, id + 20]);
    }
  }

  #below(limit: number): number {
    return this.#options.random.below(limit);
  }

  #pick(list: readonly string[]): string {
    return list[this.#below(list.length)] as string;
  }
}
