import { sql, topic, view } from "millrace";

export const taxRates = topic("tax_rates", {
  cleanup: "compact",
  schema: { type: "object", properties: { rate: { type: "integer" } }, required: ["rate"] },
});

export const sales = topic("sales", {
  schema: {
    type: "object",
    properties: {
      id: { type: "string" },
      country: { type: "string" },
      amount: { type: "integer" },
      at: { type: "string", format: "date-time" },
    },
    required: ["id", "country", "amount", "at"],
  },
});

export const rates = view("rates", sql`select _key as country, rate from ${taxRates}`, { history: true });

export const taxes = view(
  "taxes",
  sql`
    select s.id, s.amount * r.rate / 100 as tax, s._partition, s._offset
    from ${sales} s
    join ${rates.history} r on r.country = s.country
      and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`,
);

export const perCountry = view(
  "per_country",
  sql`
    select s.country, sum(s.amount * r.rate / 100) as tax
    from ${sales} s
    join ${rates.history} r on r.country = s.country
      and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)
    group by s.country`,
);

export const announced = topic("announced", {
  schema: {
    type: "object",
    properties: {
      country: { type: "string" },
      rate: { type: "integer" },
      from: { type: "string", format: "date-time" },
    },
    required: ["country", "rate", "from"],
  },
});

export const announcedTaxes = view(
  "announced_taxes",
  sql`
    select s.id, s.amount * r.rate / 100 as tax, s._partition, s._offset
    from ${sales} s
    cross join lateral (
      select a.rate from ${announced} a
      where a.country = s.country and a."from" <= s.at
      order by a."from" desc limit 1) r`,
);
