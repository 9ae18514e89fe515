import { takeTour } from "./conformance.ts";
import { openKafkaJs } from "./kafkajs-client.ts";
import { tourSteps } from "./tour.ts";

takeTour({ name: "kafkajs", title: "kafkajs", missing: undefined, steps: tourSteps, open: openKafkaJs });
