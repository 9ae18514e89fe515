/**
 * A part with some of its methods replaced, for tests. Calls of the others go to `target` itself, whose private fields a
 * prototype chain does not reach.
 */
export function over<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (name in methods) return methods[name as keyof T];
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
