/** Of the program and its data directory. */
import type { ErrorCodeEntry } from "./entry.ts";

export const programCodes = {
  DATA_DIRECTORY_LOCKED: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "Another Millrace runs on this data directory.",
  },
  DATA_DIRECTORY_UNUSABLE: { http: 500, exit: 3, action: "fix-setup", about: "The data directory cannot be written." },
  PORT_TAKEN: { http: 500, exit: 3, action: "fix-setup", about: "A port that was asked for is in use." },
  SETTING_INVALID: {
    http: 500,
    exit: 2,
    action: "fix-setup",
    about: "A setting cannot be read; the message names it.",
  },
  KEY_REQUIRED: { http: 500, exit: 3, action: "fix-setup", about: "Listening beyond loopback needs MILLRACE_KEY." },
  PLATFORM_UNSUPPORTED: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "This operating system or processor is not supported yet.",
  },
  NOT_RUNNING: { http: 503, exit: 3, action: "fix-setup", about: "No Millrace answers at the address." },
  USAGE_INVALID: { http: 400, exit: 2, action: "fix-request", about: "The command line is wrong." },
  INTERNAL_ERROR: {
    http: 500,
    exit: 1,
    action: "call-operator",
    about: "A bug in Millrace; the diagnostics have the whole error.",
  },
  SHUTTING_DOWN: { http: 503, exit: 4, action: "retry", about: "The program is stopping." },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;
