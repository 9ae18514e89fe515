// Written by `millrace dev` and `millrace types` from millrace-schema.json: do not edit, but commit it.

/** Rows of captured tables, by topic, and of topics, by what views call them. */
export interface Tables {
  readonly "shop.public.customers": {
    readonly id: string;
    readonly name: string;
    readonly city: string;
  };
  readonly "shop.public.order_lines": {
    readonly order_id: string;
    readonly line: number;
    readonly product_id: string;
    readonly quantity: number;
    readonly price: string;
  };
  readonly "shop.public.orders": {
    readonly id: string;
    readonly customer_id: string;
    readonly status: string;
    readonly placed_at: string;
  };
  readonly "shop.public.products": {
    readonly id: string;
    readonly name: string;
    readonly category: string;
    readonly price: string;
  };
}

/** Rows of views, by name. */
export interface Views {
  readonly category_sales: {
    readonly category: string;
    readonly lines: string;
    readonly pieces: string;
    readonly revenue: string | null;
  };
  readonly order_cards: {
    readonly id: string;
    readonly customer: string;
    readonly status: string;
    readonly placed_at: string;
    readonly lines: string;
    readonly total: string | null;
  };
  readonly to_ship: {
    readonly id: string;
    readonly customer: string;
    readonly city: string;
    readonly status: string;
    readonly placed_at: string;
  };
}
