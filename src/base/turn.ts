/** Resolves on the next turn of the event loop: whatever is ready to run now runs first. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
