/** Topics with schemas, for clients of registries, and for the guide. */
import { topic } from "millrace";
import * as z from "zod";

const Payment = z.object({
  id: z.string(),
  amount: z.number().positive(),
  currency: z.string().length(3),
  note: z.string().optional(),
});

export const payments = topic("payments", { schema: Payment, key: "id", partitions: 4, retention: "30d" });

export const avro = topic("orders-avro", {
  schema: {
    avro: {
      type: "record",
      name: "Order",
      namespace: "shop",
      fields: [
        { name: "id", type: "string" },
        { name: "total", type: "double" },
      ],
    },
  },
});

export const json = topic("orders-json", {
  schema: {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Order",
    type: "object",
    properties: { id: { type: "string" }, total: { type: "number" } },
    required: ["id", "total"],
    additionalProperties: false,
  },
});

export const protobuf = topic("orders-protobuf", {
  schema: {
    protobuf: 'syntax = "proto3";\npackage shop;\nmessage Order {\n  string id = 1;\n  double total = 2;\n}\n',
  },
});

export const free = topic("free");
