import { takeTour } from "./conformance.ts";
import { openJava } from "./open-java.ts";
import { consoleToolSteps } from "./tour/console-tools.ts";

takeTour({
  name: "tools",
  title: "Kafka's command line tools",
  missing: undefined,
  steps: consoleToolSteps,
  open: openJava,
});
