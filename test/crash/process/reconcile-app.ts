/** One source of webhooks whose vendor is the test: `VENDOR_URL` has its list. */
import { hmacSignature, webhook } from "millrace";

export const vendor = webhook("vendor", {
  verify: hmacSignature({ secret: "kill-test", header: "x-mac" }),
  id: (event) => event?.id,
  partitions: 3,
  key: (event) => event.account,
  ratePerSecond: null,
  reconcile: {
    every: "1s",
    // Hardly any, so that no pass makes good what another one owes.
    overlap: "1s",
    lookBack: "1h",
    grace: "0ms",
    window: "6d",
    ratePerSecond: 200,
    async list({ since, until, cursor, fetch }) {
      const query = `since=${since.getTime()}&until=${until.getTime()}&after=${cursor ?? ""}`;
      return await (await fetch(`${process.env.VENDOR_URL}/list?${query}`)).json();
    },
  },
});
