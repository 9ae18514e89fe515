import { findConfluentPython } from "../../../tools/kafka-parts.ts";
import { takeTour } from "./conformance.ts";
import { openPython } from "./open-python.ts";
import { tourSteps } from "./tour.ts";

takeTour({
  name: "librdkafka",
  title: "librdkafka, by confluent-kafka for Python,",
  missing: findConfluentPython() === undefined ? "skipped: confluent-kafka could not be had" : undefined,
  steps: tourSteps,
  open: openPython,
});
