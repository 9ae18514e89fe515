/**
 * For model tests: random histories of a source with every kind of table, and what its tables hold after each
 * transaction. Amounts move between accounts, so that their sum is the same after every transaction and never within one.
 */
import type { Random } from "../base/random.ts";
import { type FixtureCells, type FixtureChange, tableShape } from "./source-fixture.ts";

export const accounts = tableShape("bank", "accounts", [
  "id integer",
  "owner text",
  "balance numeric(12,2)",
  "notes text",
]);
export const lines = tableShape("bank", "lines", ["branch integer", "no numeric", "account integer", "amount bigint"], {
  key: ["branch", "no"],
});
export const journal = tableShape("bank", "journal", ["account integer", "delta bigint"], {
  key: null,
  appendOnly: true,
});
export const tags = tableShape("bank", "tags", ["account integer", "tag text", "data json"], { key: null });
export const tables = [accounts, lines, journal, tags];

export const historyViews: readonly (readonly [name: string, query: string, key?: readonly string[]])[] = [
  ["total", "select count(*) as n, sum(balance) as balance from bank.accounts", []],
  [
    "by_owner",
    "select a.owner, count(*) as n, sum(l.amount) as amount from bank.lines l join bank.accounts a on a.id = l.account group by a.owner",
    ["owner"],
  ],
  [
    "cards",
    "select l.branch, l.no, a.owner, a.notes, l.amount from bank.lines l join bank.accounts a on a.id = l.account",
    ["branch", "no"],
  ],
  ["moved", "select account, count(*) as n, sum(delta) as delta from bank.journal group by account", ["account"]],
  ["tagged", "select tag, count(*) as n, sum(account) as accounts from bank.tags group by tag", ["tag"]],
  [
    "pairs",
    "select a.owner, count(*) as n from bank.accounts a join bank.accounts b on b.owner = a.owner group by a.owner",
    ["owner"],
  ],
  [
    "largest",
    "select a.id, a.owner, max(l.amount) as amount from bank.accounts a left join bank.lines l on l.account = a.id group by a.id, a.owner",
    ["id"],
  ],
  ["owners", "select owner from bank.accounts union all select tag from bank.tags"],
  ["sizes", "select count(*) as n from bank.lines group by branch, account"],
  ["tags_of", "select a.owner, t.tag from bank.accounts a left join bank.tags t on t.account = a.id"],
];

type Row = string[];

const owners = ["ada", "bob", "cy\tx", "d\\n", "e\ne", ""];

export class History {
  readonly #random: Random;
  readonly accounts = new Map<string, (string | null)[]>();
  readonly lines = new Map<string, Row>();
  journal: Row[] = [];
  tags: (string | null)[][] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** What a snapshot of now has. */
  rows(): FixtureChange[] {
    return [
      ...[...this.accounts.values()].map((insert) => ({ table: accounts, insert })),
      ...[...this.lines.values()].map((insert) => ({ table: lines, insert })),
      ...this.journal.map((insert) => ({ table: journal, insert })),
      ...this.tags.map((insert) => ({ table: tags, insert })),
    ];
  }

  transaction(): FixtureChange[] {
    const changes: FixtureChange[] = [];
    const steps = 1 + this.#random.below(6);
    for (let i = 0; i < steps; i++) changes.push(...this.#step());
    return changes;
  }

  #step(): FixtureChange[] {
    const dice = this.#random.below(100);
    if (dice < 12) return this.#openAccount();
    if (dice < 32) return this.#transfer();
    if (dice < 40) return this.#changeAccount();
    if (dice < 46) return this.#moveAccount();
    if (dice < 50) return this.#closeAccount();
    if (dice < 68) return this.#putLine();
    if (dice < 74) return this.#removeLine();
    if (dice < 82) return this.#write();
    if (dice < 98) return this.#tag();
    return this.#truncate();
  }

  #id(): string {
    return String(this.#random.below(30));
  }

  #some<T>(items: readonly T[]): T | undefined {
    return items[this.#random.below(Math.max(1, items.length))];
  }

  #account(): (string | null)[] | undefined {
    return this.#some([...this.accounts.values()]);
  }

  #openAccount(): FixtureChange[] {
    const id = this.#id();
    if (this.accounts.has(id)) return [];
    const owner = this.#random.below(8) === 0 ? null : (this.#some(owners) ?? "");
    const row = [id, owner, "0.00", "x".repeat(this.#random.below(50))];
    this.accounts.set(id, row);
    return [{ table: accounts, insert: [...row] }];
  }

  /** Balances are sent; the notes, which did not change, are not. */
  #transfer(): FixtureChange[] {
    const [a, b] = [this.#account(), this.#account()];
    if (!a || !b || a === b) return [];
    const amount = this.#random.below(1000);
    const moved = (row: (string | null)[], by: number): FixtureChange => {
      row[2] = ((Math.round(Number(row[2]) * 100) + by) / 100).toFixed(2);
      return { table: accounts, update: [row[0] ?? null, row[1] ?? null, row[2], undefined] };
    };
    return [moved(a, -amount), moved(b, amount)];
  }

  #changeAccount(): FixtureChange[] {
    const row = this.#account();
    if (!row) return [];
    row[1] = this.#random.below(8) === 0 ? null : (this.#some(owners) ?? "");
    row[3] = `notes ${this.#random.below(1_000_000)}`;
    return [{ table: accounts, update: [...row] }];
  }

  #moveAccount(): FixtureChange[] {
    const row = this.#account();
    const id = this.#id();
    if (!row || this.accounts.has(id)) return [];
    const was: FixtureCells = [row[0] ?? null, undefined, undefined, undefined];
    this.accounts.delete(row[0] ?? "");
    row[0] = id;
    this.accounts.set(id, row);
    return [{ table: accounts, update: [id, row[1] ?? null, row[2] ?? null, undefined], was }];
  }

  /** Only an empty one, so that the total stays. */
  #closeAccount(): FixtureChange[] {
    const row = this.#account();
    if (!row || Number(row[2]) !== 0) return [];
    this.accounts.delete(row[0] ?? "");
    return [{ table: accounts, delete: [row[0] ?? null, undefined, undefined, undefined] }];
  }

  #putLine(): FixtureChange[] {
    const row = [
      String(this.#random.below(3)),
      `${this.#random.below(20)}.5`,
      this.#id(),
      String(this.#random.below(100) - 50),
    ];
    const key = `${row[0]}/${row[1]}`;
    const known = this.lines.has(key);
    this.lines.set(key, row);
    return [known ? { table: lines, update: row } : { table: lines, insert: row }];
  }

  #removeLine(): FixtureChange[] {
    const key = this.#some([...this.lines.keys()]);
    const row = key === undefined ? undefined : this.lines.get(key);
    if (key === undefined || !row) return [];
    this.lines.delete(key);
    // The same key, written another way.
    return [{ table: lines, delete: [row[0] ?? null, `${row[1]}0`, undefined, undefined] }];
  }

  #write(): FixtureChange[] {
    const row = [this.#id(), String(this.#random.below(200) - 100)];
    this.journal.push(row);
    return [{ table: journal, insert: row }];
  }

  #tag(): FixtureChange[] {
    const at = this.#random.below(Math.max(1, this.tags.length));
    const old = this.tags[at];
    const data = this.#random.below(3) === 0 ? null : `{"n":${this.#random.below(2)}}`;
    const row = [String(this.#random.below(5)), this.#some(["red", "blue", "tab\t"]) ?? "", data];
    const dice = this.#random.below(3);
    if (!old || dice === 0) {
      this.tags.push(row);
      return [{ table: tags, insert: row }];
    }
    if (dice === 1) {
      this.tags.splice(at, 1);
      return [{ table: tags, delete: old }];
    }
    this.tags[at] = row;
    return [{ table: tags, update: row, was: old }];
  }

  #truncate(): FixtureChange[] {
    const dice = this.#random.below(3);
    if (dice === 0) {
      this.lines.clear();
      return [{ table: lines, truncate: true }];
    }
    if (dice === 1) {
      this.journal = [];
      return [{ table: journal, truncate: true }];
    }
    this.tags = [];
    return [{ table: tags, truncate: true }];
  }
}
