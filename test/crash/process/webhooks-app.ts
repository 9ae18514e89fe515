/** One source of webhooks: what the test sends is signed with this secret. */
import { hmacSignature, webhook } from "millrace";

export const vendor = webhook("vendor", {
  verify: hmacSignature({ secret: "kill-test", header: "x-mac", idHeader: "x-id" }),
  key: (event) => event.account,
  partitions: 3,
  ratePerSecond: null,
});
