/** Defines nothing: the log and its HTTP door alone. */
export {};
