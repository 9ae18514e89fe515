// Written by `millrace dev` and `millrace types` from millrace-schema.json: do not edit, but commit it.

/** Rows of captured tables, by topic. */
export interface Tables {
  readonly "books.public.payments": {
    readonly id: string;
    readonly customer: string;
    readonly amount: string;
    readonly status: string;
    readonly version: number;
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
