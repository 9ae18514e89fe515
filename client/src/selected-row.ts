/**
 * The row that a `select` in PostgREST's grammar makes, as far as the types of the app tell: `*`, columns, other names, and
 * rows of related views with members of their own. A cast, a place in json under another name, and what nobody knows are
 * `unknown`; where a text has anything else (aggregates, spread members, quotes), nothing is known of its rows.
 */

/** Of `millrace-env.d.ts`: rows by view, and by view the related ones. */
export interface RowTypes {
  readonly views?: object | undefined;
  readonly relations?: object | undefined;
}

interface Relation {
  readonly view: string;
  readonly many: boolean;
}

type Loose = Record<string, unknown>;

export type SelectedRow<App, Name, Select extends string> = string extends Select
  ? Loose
  : string extends keyof RowOf<App, Name>
    ? Loose
    : OrLoose<Members<App, Name, Select>>;

/** Never is what cannot be read. */
type OrLoose<Row> = [Row] extends [never] ? Loose : { [Member in keyof Row]: Row[Member] };

type RowOf<App, Name> = App extends { readonly views: infer Views }
  ? Name extends keyof Views
    ? Views[Name]
    : Loose
  : Loose;

type RelationOf<App, Name, As> = App extends { readonly relations: infer All }
  ? Name extends keyof All
    ? As extends keyof All[Name]
      ? All[Name][As]
      : null
    : null
  : null;

/** The rows of a list of members: those that are read already, and those of the rest. */
type Members<App, Name, List extends string, Read = unknown> = List extends ""
  ? Read
  : First<List> extends readonly [infer Head extends string, infer Inner, infer Rest extends string]
    ? Members<App, Name, Rest, Read & Member<App, Name, Head, Inner>>
    : never;

/** The first member, what stands in its parentheses (null without any), and the members behind it. */
type First<List extends string> = List extends `${infer Head},${infer Rest}`
  ? Head extends `${string}(${string}`
    ? Parenthesised<List>
    : readonly [Head, null, Rest]
  : List extends `${string}(${string}`
    ? Parenthesised<List>
    : readonly [List, null, ""];

type Parenthesised<List extends string> = List extends `${infer Head}(${infer After}`
  ? Closed<After> extends readonly [infer Inner extends string, infer Rest extends string]
    ? Rest extends ""
      ? readonly [Head, Inner, ""]
      : Rest extends `,${infer Behind}`
        ? readonly [Head, Inner, Behind]
        : null
    : null
  : null;

/** What stands before the parenthesis that closes, and what behind it; `Open` has one for each that is open. */
type Closed<
  Text extends string,
  Open extends readonly 1[] = readonly [1],
  Before extends string = "",
> = Text extends `${infer Part})${infer Rest}`
  ? [...Open, ...Opened<Part>] extends readonly [1, ...infer Still extends readonly 1[]]
    ? Still extends readonly []
      ? readonly [`${Before}${Part}`, Rest]
      : Closed<Rest, Still, `${Before}${Part})`>
    : null
  : null;

type Opened<Text extends string, Open extends readonly 1[] = readonly []> = Text extends `${string}(${infer Rest}`
  ? Opened<Rest, readonly [...Open, 1]>
  : Open;

type Member<App, Name, Head extends string, Inner> = Head extends `${infer Left}::${string}`
  ? Inner extends null
    ? Left extends `${infer Alias}:${string}`
      ? Named<Alias, unknown>
      : Named<Left, unknown>
    : never
  : Head extends `${infer Alias}:${infer Of}`
    ? Inner extends string
      ? Embedded<App, Alias, RelationOf<App, Name, WithoutInner<Of>>, Of, Inner>
      : Named<Alias, ValueOf<RowOf<App, Name>, Of>>
    : Inner extends string
      ? Embedded<App, WithoutInner<Head>, RelationOf<App, Name, WithoutInner<Head>>, Head, Inner>
      : Head extends "*"
        ? RowOf<App, Name>
        : Named<Head, ValueOf<RowOf<App, Name>, Head>>;

/** Not for names that have to be read first. */
type Named<As extends string, Value> = As extends `${string}${"->" | '"' | "." | " "}${string}`
  ? never
  : { readonly [Name in As]: Value };

type ValueOf<Row, Column> = Column extends keyof Row ? Row[Column] : unknown;

type WithoutInner<Head extends string> = Head extends `${infer Relation}!inner` ? Relation : Head;

/** A relation that the types do not have may be an aggregate. */
type Embedded<App, As extends string, Of, Head extends string, Inner extends string> = Of extends Relation
  ? Inner extends ""
    ? unknown
    : Named<As, Related<OrLoose<Members<App, Of["view"], Inner>>, Of["many"], Head>>
  : never;

type Related<Row, Many extends boolean, Head extends string> = Many extends true
  ? readonly Row[]
  : Head extends `${string}!inner`
    ? Row
    : Row | null;
