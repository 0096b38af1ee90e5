/**
 * For options that may be given several times, once for each value. Commander's own lists (`<path...>`) would take the arguments that
 * follow for values too.
 */
export function repeatable(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}
