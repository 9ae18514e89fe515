/**
 * For tests: random schemas and workloads as data, so that a failing one can be shrunk. Names are numbers that are resolved
 * against the tables as they are when the statement runs; whatever is left of a history after shrinking can be run.
 */
import fc from "fast-check";

export type RowOperation =
  | { readonly kind: "insert" | "update" | "delete" | "move"; readonly table: number; readonly n: number }
  | { readonly kind: "truncate"; readonly table: number };

export interface AddOperation {
  readonly kind: "add";
  readonly table: number;
  readonly type: number;
  readonly filled: boolean;
}

export interface ColumnOperation {
  readonly kind: "drop" | "rename" | "retype" | "fill-later";
  readonly table: number;
  readonly column: number;
}

export interface TableOperation {
  readonly kind: "recreate" | "identity";
  readonly table: number;
  readonly n: number;
}

export type ShapeOperation = AddOperation | ColumnOperation | TableOperation;

export type Operation =
  | RowOperation
  | ShapeOperation
  /** Work below a savepoint, to which the transaction goes back. */
  | { readonly kind: "undone"; readonly operations: readonly RowOperation[] };

export interface HistoryTransaction {
  readonly operations: readonly Operation[];
  readonly end: "commit" | "rollback";
  /** The topics have everything before the next transaction begins. */
  readonly quiet: boolean;
}

export interface History {
  /** The types of the columns of each table, as numbers into `columnTypes`. */
  readonly schemas: readonly (readonly number[])[];
  readonly transactions: readonly HistoryTransaction[];
}

/** Values come from numbers; `into` is a type that each value can be cast to. */
export const columnTypes: readonly {
  readonly name: string;
  readonly value: (n: number) => string;
  readonly into: number;
}[] = [
  { name: "integer", value: (n) => String(n), into: 3 },
  { name: "text", value: (n) => `'t${n}'`, into: 2 },
  // Large enough to lie out of line, so that updates do not send it.
  {
    name: "character varying",
    value: (n) => `(select string_agg(md5(i::text), '') || ${n} from generate_series(1, 90) i)`,
    into: 1,
  },
  { name: "bigint", value: (n) => `${n}::bigint * 9007199254740993`, into: 4 },
  { name: "numeric", value: (n) => `${n}.${n}0`, into: 1 },
  { name: "boolean", value: (n) => String(n % 2 === 0), into: 1 },
  { name: "integer[]", value: (n) => `array[${n}, null, ${n + 1}]`, into: 7 },
  { name: "text[]", value: (n) => `array['a b', null, '${n}']`, into: 1 },
  {
    name: "timestamp with time zone",
    value: (n) => `'2024-01-01 00:00+00'::timestamptz + ${n} * interval '1.5 hours'`,
    into: 1,
  },
  { name: "jsonb", value: (n) => `'{"n": ${n}, "s": "\\u00e9"}'`, into: 1 },
  { name: "mood", value: (n) => (n % 2 === 0 ? "'well'" : "'not \"so\" well'"), into: 1 },
];

const table = fc.nat(2);
const n = fc.nat(99);
const column = fc.nat(5);
const type = fc.nat(columnTypes.length - 1);

const rowOperation: fc.Arbitrary<RowOperation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("insert" as const), table, n }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("update" as const), table, n }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("move" as const), table, n }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), table, n }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("truncate" as const), table }) },
);

const shapeOperation: fc.Arbitrary<ShapeOperation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("add" as const), table, type, filled: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("drop" as const, "rename" as const, "retype" as const, "fill-later" as const),
      table,
      column,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("recreate" as const, "identity" as const), table, n }) },
);

/** `shapes`: how many of a hundred operations change a table's form. */
export function histories({ transactions, shapes }: { transactions: number; shapes: number }): fc.Arbitrary<History> {
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 90 - shapes, arbitrary: rowOperation },
    {
      weight: 10,
      arbitrary: fc.record({
        kind: fc.constant("undone" as const),
        operations: fc.array(rowOperation, { minLength: 1, maxLength: 4 }),
      }),
    },
    { weight: shapes, arbitrary: shapeOperation },
  );
  return fc.record({
    schemas: fc.array(fc.array(type, { minLength: 1, maxLength: 5 }), { minLength: 3, maxLength: 3 }),
    transactions: fc.array(
      fc.record({
        operations: fc.array(operation, { minLength: 1, maxLength: 6 }),
        end: fc.constantFrom(
          "commit" as const,
          "commit" as const,
          "commit" as const,
          "commit" as const,
          "rollback" as const,
        ),
        quiet: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
      }),
      { minLength: Math.ceil(transactions / 2), maxLength: transactions },
    ),
  });
}
