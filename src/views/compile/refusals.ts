/** What is said of queries that are not kept by adding and taking away, where they cannot be run again by key either; `untraced.ts` says more. */
export const groupedSubquery = "a grouped subquery cannot be kept up to date yet";
export const windowFunctions = "window functions cannot be kept up to date yet";
