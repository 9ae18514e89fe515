import { findKcat } from "../../../tools/kafka-parts.ts";
import { takeTour } from "./conformance.ts";
import { openKcat } from "./kcat-client.ts";
import { openPlatformatic } from "./platformatic-client.ts";
import { tourSteps } from "./tour.ts";

takeTour({
  name: "kcat",
  title: "kcat",
  missing: findKcat() === undefined ? "skipped: kcat could not be installed" : undefined,
  steps: tourSteps,
  open: async (bootstrap) => openKcat(bootstrap, await openPlatformatic(bootstrap)),
});
