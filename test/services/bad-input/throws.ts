/** A module with a mistake that shows when it runs. */
export const source = JSON.parse("{");
