import { postgres } from "millrace";

export const stock = postgres("stock", { url: process.env.STOCK_URL ?? "", tables: ["items"] });
