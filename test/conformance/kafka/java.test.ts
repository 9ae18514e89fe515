import { takeTour } from "./conformance.ts";
import { openJava } from "./open-java.ts";
import { tourSteps } from "./tour.ts";

takeTour({ name: "java", title: "Kafka's client for Java", missing: undefined, steps: tourSteps, open: openJava });
