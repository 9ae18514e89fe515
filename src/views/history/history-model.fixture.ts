/** For the model test of histories: tables with random changes, and what the views over them must have had at each moment. */
import type { Random } from "../../base/random.ts";
import { sql, type ViewDefinition, view } from "../../catalog/definitions.ts";
import { type FixtureChange, tableShape } from "../source-fixture.ts";

export const rates = tableShape("shop", "rates", ["country text", "rate integer", "note text"], { key: ["country"] });
export const sales = tableShape("shop", "sales", [
  "id integer",
  "country text",
  "amount integer",
  "at timestamp with time zone",
]);

const ratesView = view("rates", sql`select country, rate, note from shop.rates`, { history: true });
const asOf = sql`select s.id, s.amount * r.rate as tax from shop.sales s join ${ratesView.history} r
  on r.country = s.country and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`;

/** In the order of their names; those of `taxed` have histories themselves. */
export const modelViews: readonly ViewDefinition[] = [
  ratesView,
  // A key that may be NULL, and one whose group is recomputed.
  view("counts", sql`select rate, count(*) as n from shop.rates group by rate`, { history: true }),
  view("lows", sql`select note, min(rate) as low from shop.rates group by note`, { history: true }),
  view("taxes", asOf, { key: "id" }),
  view(
    "taxed",
    sql`select s.country, sum(s.amount * r.rate) as tax from shop.sales s join ${ratesView.history} r
      on r.country = s.country and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to) group by s.country`,
    { history: true },
  ),
  view(
    "ended",
    sql`select country, count(*) as n from ${ratesView.history} where _valid_to is not null group by country`,
  ),
  // A history with itself.
  view(
    "again",
    sql`select a.country, count(*) as n from ${ratesView.history} a
      join ${ratesView.history} b on b.country = a.country and b.note = a.note group by a.country`,
  ),
];

export const withHistories = ["rates", "counts", "lows", "taxed"] as const;

type Rate = { readonly country: string; readonly rate: number | null; readonly note: string | null };
type Sale = { readonly id: number; readonly country: string; readonly amount: number; readonly atMs: number };

/** Rows as the views' JSON has them, by their keys. */
export type Rows = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

export interface Version {
  readonly row: Readonly<Record<string, unknown>>;
  readonly from: number;
  to: number | null;
}

/** The versions of one view's rows, in microseconds. */
export class NaiveHistory {
  readonly versions: Version[] = [];
  #at = 0;

  take(rows: Rows, atMs: number): void {
    const open = this.versions.filter(({ to }) => to === null);
    const texts = new Set([...rows.values()].map((row) => JSON.stringify(row)));
    const ended = open.filter(({ row }) => !texts.has(JSON.stringify(row)));
    const kept = new Set(open.map(({ row }) => JSON.stringify(row)));
    const begun = [...rows.values()].filter((row) => !kept.has(JSON.stringify(row)));
    if (ended.length === 0 && begun.length === 0) return;
    this.#at = Math.max(atMs * 1_000, this.#at + 1);
    for (const version of ended) version.to = this.#at;
    for (const row of begun) this.versions.push({ row, from: this.#at, to: null });
  }

  asOf(micros: number): Readonly<Record<string, unknown>>[] {
    return this.versions.filter(({ from, to }) => from <= micros && (to === null || micros < to)).map(({ row }) => row);
  }

  get times(): number[] {
    return this.versions.map(({ from }) => from);
  }
}

const countries = ["AT", "DE", "FR", "IT", "a\tb"];
const notes = [null, "x", "y", ""];

export class HistoryModel {
  readonly #random: Random;
  readonly #rates = new Map<string, Rate>();
  readonly #sales = new Map<number, Sale>();
  readonly histories = {
    rates: new NaiveHistory(),
    counts: new NaiveHistory(),
    lows: new NaiveHistory(),
    taxed: new NaiveHistory(),
  };
  atMs = Date.UTC(2026, 2, 1, 12);

  constructor(random: Random) {
    this.#random = random;
  }

  /** Time goes on, stands still, or jumps back. */
  passTime(): void {
    const dice = this.#random.below(6);
    if (dice === 0) this.atMs -= this.#random.below(5_000);
    else if (dice > 1) this.atMs += this.#random.below(2_000);
  }

  rows(): FixtureChange[] {
    return [
      ...[...this.#rates.values()].map((row) => ({ table: rates, insert: rateCells(row) })),
      ...[...this.#sales.values()].map((row) => ({ table: sales, insert: saleCells(row) })),
    ];
  }

  /** Some changes, each of another row; the views have them from `noted` on. */
  transaction(): FixtureChange[] {
    const countriesLeft = [...countries].sort(() => this.#random.below(3) - 1);
    return Array.from({ length: 1 + this.#random.below(3) }, () =>
      this.#random.below(3) === 0 ? this.#changeSale() : this.#changeRate(countriesLeft.pop() ?? "AT"),
    );
  }

  /** The transactions until now are committed at `atMs`. */
  noted(): void {
    this.histories.rates.take(this.ratesRows(), this.atMs);
    this.histories.counts.take(this.#counts(), this.atMs);
    this.histories.lows.take(this.#lows(), this.atMs);
    this.histories.taxed.take(this.#taxed(), this.atMs);
  }

  ratesRows(): Rows {
    return new Map([...this.#rates].map(([country, row]) => [country, row]));
  }

  /** By the versions of the rates that were valid at each sale. */
  taxes(): { readonly id: number; readonly tax: number | null }[] {
    return [...this.#sales.values()].flatMap((sale) => {
      const rate = this.#rateAt(sale);
      return rate === undefined ? [] : [{ id: sale.id, tax: rate === null ? null : sale.amount * rate }];
    });
  }

  #rateAt({ country, atMs }: Sale): number | null | undefined {
    const version = this.histories.rates.asOf(atMs * 1_000).find((row) => row.country === country);
    return version?.rate as number | null | undefined;
  }

  #counts(): Rows {
    const groups = Map.groupBy(this.#rates.values(), ({ rate }) => rate);
    return new Map([...groups].map(([rate, of]) => [`${rate}`, { rate, n: of.length }]));
  }

  #lows(): Rows {
    const groups = Map.groupBy(this.#rates.values(), ({ note }) => note);
    return new Map(
      [...groups].map(([note, of]) => {
        const known = of.flatMap(({ rate }) => rate ?? []);
        return [`${note}`, { note, low: known.length === 0 ? null : Math.min(...known) }];
      }),
    );
  }

  #taxed(): Rows {
    const joined = [...this.#sales.values()].filter((sale) => this.#rateAt(sale) !== undefined);
    const groups = Map.groupBy(joined, ({ country }) => country);
    return new Map(
      [...groups].map(([country, of]) => {
        const known = of.flatMap((sale) => {
          const rate = this.#rateAt(sale);
          return rate == null ? [] : [sale.amount * rate];
        });
        return [country, { country, tax: known.length === 0 ? null : known.reduce((a, b) => a + b) }];
      }),
    );
  }

  #changeRate(country: string): FixtureChange {
    const known = this.#rates.get(country);
    if (known !== undefined && this.#random.below(4) === 0) {
      this.#rates.delete(country);
      return { table: rates, delete: rateCells(known) };
    }
    const rate = this.#random.below(5) === 0 ? null : this.#random.below(4);
    const row = { country, rate, note: notes[this.#random.below(notes.length)] ?? null };
    this.#rates.set(country, row);
    return known === undefined ? { table: rates, insert: rateCells(row) } : { table: rates, update: rateCells(row) };
  }

  #changeSale(): FixtureChange {
    const id = 1 + this.#random.below(1_000_000);
    const country = countries[this.#random.below(countries.length)] ?? "AT";
    const row = { id, country, amount: 1 + this.#random.below(9), atMs: this.atMs - 4_000 + this.#random.below(5_000) };
    this.#sales.set(id, row);
    return { table: sales, insert: saleCells(row) };
  }
}

function rateCells({ country, rate, note }: Rate): (string | null)[] {
  return [country, rate === null ? null : `${rate}`, note];
}

function saleCells({ id, country, amount, atMs }: Sale): string[] {
  return [`${id}`, country, `${amount}`, new Date(atMs).toISOString()];
}
