/** Which machines are served. */
import { MillraceError } from "../base/errors.ts";

export interface Machine {
  readonly platform: string;
  readonly arch: string;
  /** False on Linux with musl. */
  readonly glibc: boolean;
}

export function thisMachine(): Machine {
  return { platform: process.platform, arch: process.arch, glibc: process.platform !== "linux" || hasGlibc() };
}

/** Throws `PLATFORM_UNSUPPORTED`. */
export function checkPlatform({ platform, arch, glibc }: Machine): void {
  if (platform !== "linux" && platform !== "darwin") {
    const hint = platform === "win32" ? "WSL 2 with Debian or Ubuntu works." : "Linux (glibc) and macOS are.";
    throw new MillraceError(
      "PLATFORM_UNSUPPORTED",
      `${platform === "win32" ? "Windows" : platform} is not supported yet`,
      {
        hint,
      },
    );
  }
  if (arch !== "x64" && arch !== "arm64") {
    throw new MillraceError("PLATFORM_UNSUPPORTED", `processors of the kind ${arch} are not supported yet`, {
      hint: "x64 and arm64 are.",
    });
  }
  if (!glibc) {
    throw new MillraceError("PLATFORM_UNSUPPORTED", "Linux with musl (Alpine) is not supported yet", {
      hint: "Use an image with glibc: Debian, Ubuntu.",
    });
  }
}

function hasGlibc(): boolean {
  const report = process.report as { excludeNetwork?: boolean; getReport(): object } | undefined;
  if (report === undefined) return true;
  // Without this the report resolves the addresses of open connections, which may take seconds.
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime !== undefined;
}
