/**
 * A bank whose every transaction changes several tables: what it writes, and what any view of it must show after exactly
 * so many transactions.
 */
import { crc32 } from "node:zlib";
import type { Random } from "../../../src/base/random.ts";
import { type FixtureChange, tableShape } from "../../../src/views/source-fixture.ts";

export const tables = {
  ticks: tableShape("bank", "ticks", ["id integer", "n bigint"]),
  branches: tableShape("bank", "branches", ["id integer", "balance bigint"]),
  accounts: tableShape("bank", "accounts", ["id integer", "branch integer", "balance bigint", "moves bigint"]),
  entries: tableShape("bank", "entries", ["id bigint", "account integer", "amount bigint"]),
} as const;

interface Account {
  readonly id: number;
  branch: number;
  balance: number;
  moves: number;
  readonly entries: Map<number, number>;
}

const branchCount = 3;
export const accountCount = 8;
const opening = 1_000;
/** What all balances come to, in every state. */
export const total = accountCount * opening;

export class Books {
  /** Transactions since the snapshot. */
  tick = 0;
  readonly #random: Random;
  readonly #accounts: Account[] = [];
  readonly #branches = Array.from({ length: branchCount }, () => 0);
  #nextAccount = 1;
  #nextEntry = 1;
  /** By tick. */
  #digests = new Uint32Array(1024);

  constructor(random: Random) {
    this.#random = random;
    for (let i = 0; i < accountCount; i++) {
      const account = this.#open(i % branchCount, opening, 0);
      this.#branches[account.branch] = (this.#branches[account.branch] ?? 0) + opening;
    }
    this.#note();
  }

  /** The rows of the first snapshot. */
  snapshot(): FixtureChange[] {
    return [
      { table: tables.ticks, insert: ["1", "0"] },
      ...this.#branches.map((balance, id): FixtureChange => ({ table: tables.branches, insert: cells(id, balance) })),
      ...this.#accounts.flatMap((account): FixtureChange[] => [
        { table: tables.accounts, insert: accountCells(account) },
        ...[...account.entries].map(
          ([id, amount]): FixtureChange => ({ table: tables.entries, insert: cells(id, account.id, amount) }),
        ),
      ]),
    ];
  }

  transaction(): FixtureChange[] {
    const dice = this.#random.below(100);
    const changes =
      dice < 65 ? this.#transfer() : dice < 80 ? this.#merge() : dice < 92 ? this.#move() : this.#replace();
    this.tick++;
    this.#note();
    return [...changes, { table: tables.ticks, update: cells(1, this.tick) }];
  }

  /** Whether these lines are those of `digestOf` after `tick` transactions. */
  had(tick: number, lines: string): boolean {
    return tick >= 0 && tick <= this.tick && this.#digests[tick] === crc32(lines);
  }

  #note(): void {
    if (this.tick >= this.#digests.length) {
      const longer = new Uint32Array(this.#digests.length * 2);
      longer.set(this.#digests);
      this.#digests = longer;
    }
    this.#digests[this.tick] = crc32(linesOf(this.#accounts));
  }

  #transfer(): FixtureChange[] {
    const [from, to] = this.#two();
    const amount = 1 + this.#random.below(100);
    return [...this.#book(from, -amount), ...this.#book(to, amount), ...this.#branchRows(from.branch, to.branch)];
  }

  /** Two entries of an account become one. */
  #merge(): FixtureChange[] {
    const account = this.#any();
    const [first, second] = [...account.entries];
    if (!first || !second) return [];
    account.entries.delete(first[0]);
    account.entries.delete(second[0]);
    return [gone(first[0]), gone(second[0]), this.#enter(account, first[1] + second[1])];
  }

  /** To another branch. */
  #move(): FixtureChange[] {
    const account = this.#any();
    const left = account.branch;
    account.branch = (left + 1 + this.#random.below(branchCount - 1)) % branchCount;
    this.#branches[left] = (this.#branches[left] ?? 0) - account.balance;
    this.#branches[account.branch] = (this.#branches[account.branch] ?? 0) + account.balance;
    return [{ table: tables.accounts, update: accountCells(account) }, ...this.#branchRows(left, account.branch)];
  }

  /** One account is closed in favour of another one, and a new one is opened. */
  #replace(): FixtureChange[] {
    const [closed, heir] = this.#two();
    this.#accounts.splice(this.#accounts.indexOf(closed), 1);
    const { balance } = closed;
    this.#branches[closed.branch] = (this.#branches[closed.branch] ?? 0) - balance;
    const opened = this.#open(this.#random.below(branchCount), 0, 0);
    return [
      ...[...closed.entries.keys()].map(gone),
      { table: tables.accounts, delete: [String(closed.id), null, null, null] },
      ...this.#book(heir, balance),
      { table: tables.accounts, insert: accountCells(opened) },
      ...[...opened.entries].map(
        ([id, amount]): FixtureChange => ({ table: tables.entries, insert: cells(id, opened.id, amount) }),
      ),
      ...this.#branchRows(closed.branch, heir.branch),
    ];
  }

  #book(account: Account, amount: number): FixtureChange[] {
    account.balance += amount;
    account.moves++;
    this.#branches[account.branch] = (this.#branches[account.branch] ?? 0) + amount;
    return [{ table: tables.accounts, update: accountCells(account) }, this.#enter(account, amount)];
  }

  #enter(account: Account, amount: number): FixtureChange {
    const id = this.#nextEntry++;
    account.entries.set(id, amount);
    return { table: tables.entries, insert: cells(id, account.id, amount) };
  }

  #open(branch: number, balance: number, moves: number): Account {
    const account: Account = { id: this.#nextAccount++, branch, balance, moves, entries: new Map() };
    account.entries.set(this.#nextEntry++, balance);
    this.#accounts.push(account);
    return account;
  }

  #branchRows(...ids: readonly number[]): FixtureChange[] {
    return [...new Set(ids)].map((id) => ({ table: tables.branches, update: cells(id, this.#branches[id] ?? 0) }));
  }

  #any(): Account {
    return this.#accounts[this.#random.below(this.#accounts.length)] as Account;
  }

  #two(): readonly [Account, Account] {
    const first = this.#random.below(this.#accounts.length);
    const second = (first + 1 + this.#random.below(this.#accounts.length - 1)) % this.#accounts.length;
    return [this.#accounts[first] as Account, this.#accounts[second] as Account];
  }
}

/** Accounts by id, one a line: what a state is recognised by. */
export function linesOf(
  accounts: readonly Readonly<Record<"id" | "branch" | "balance" | "moves", number | string>>[],
): string {
  const sorted = [...accounts].sort((a, b) => Number(a.id) - Number(b.id));
  return sorted.map(({ id, branch, balance, moves }) => `${id} ${branch} ${balance} ${moves}`).join("\n");
}

function accountCells({ id, branch, balance, moves }: Account): string[] {
  return cells(id, branch, balance, moves);
}

function cells(...values: readonly number[]): string[] {
  return values.map(String);
}

function gone(entry: number): FixtureChange {
  return { table: tables.entries, delete: [String(entry), null, null] };
}
