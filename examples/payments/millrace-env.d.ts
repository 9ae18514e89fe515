// Written by `millrace dev` and `millrace types` from millrace-schema.json: do not edit, but commit it.

/** Rows of captured tables, by topic, and of topics, by what views call them. */
export interface Tables {
  readonly "books.public.payments": {
    readonly id: string;
    readonly customer: string;
    readonly amount: string;
    readonly status: string;
    readonly version: number;
  };
  readonly "topics.payments": {
    readonly _partition: number;
    readonly _offset: string;
    readonly _time: string | null;
    readonly _key: string | null;
    readonly _headers: unknown;
    readonly _value: unknown | null;
    readonly _problem: string | null;
  };
}

/** Rows of views, by name. */
export interface Views {
  readonly paid_by_customer: {
    readonly customer: string;
    readonly payments: string;
    readonly cents: string;
  };
}
