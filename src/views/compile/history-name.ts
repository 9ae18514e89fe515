/** How the table of a view's versions is called: `rates.history`, which no view can be. */
const suffix = ".history";

export function historyName(view: string): string {
  return `${view}${suffix}`;
}

/** Whose history a name means; null for any other name. */
export function viewOfHistory(name: string): string | null {
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : null;
}
