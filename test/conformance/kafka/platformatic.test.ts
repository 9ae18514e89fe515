import { takeTour } from "./conformance.ts";
import { openPlatformatic } from "./platformatic-client.ts";
import { tourSteps } from "./tour.ts";

takeTour({
  name: "platformatic",
  title: "@platformatic/kafka",
  missing: undefined,
  steps: tourSteps,
  open: openPlatformatic,
});
