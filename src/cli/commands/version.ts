import { type CommandModule, printJson } from "../command.ts";
import { packageVersion } from "../package-version.ts";

export const versionCommand: CommandModule = (program, { terminal }) => {
  program
    .command("version")
    .description("print the versions of Millrace and of what runs it")
    .option("--json", "as JSON")
    .action(({ json }: { json?: true }) => {
      const about = {
        version: packageVersion(),
        node: process.versions.node,
        platform: process.platform,
        arch: process.arch,
      };
      if (json) printJson(terminal, about);
      else terminal.print(`millrace ${about.version} (Node.js ${about.node}, ${about.platform} ${about.arch})`);
    });
};
