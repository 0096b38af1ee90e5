/** Labels of an object; keys and values as Kubernetes has them. */
export type Labels = Readonly<Record<string, string>>

/**
 * A predicate over one set of labels, rich enough for Kubernetes label selectors, Calico's selector grammar and Cilium's
 * EndpointSelector. `notIn` is true when the key is absent (Kubernetes, Calico and Cilium agree).
 */
export type Selector =
  | { readonly kind: "all" }
  | { readonly kind: "none" }
  | { readonly kind: "has"; readonly key: string }
  | { readonly kind: "in"; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: "notIn"; readonly key: string; readonly values: readonly string[] }
  | { readonly kind: "contains" | "startsWith" | "endsWith"; readonly key: string; readonly value: string }
  | { readonly kind: "and" | "or"; readonly of: readonly Selector[] }
  | { readonly kind: "not"; readonly of: Selector }

/** Whether `labels` satisfy `selector`. The one selector predicate that compiler and evaluator share. */
export function selects(selector: Selector, labels: Labels): boolean {
  switch (selector.kind) {
    case "all":
      return true
    case "none":
      return false
    case "has":
      return Object.hasOwn(labels, selector.key)
    case "in": {
      const value = own(labels, selector.key)
      return value !== undefined && selector.values.includes(value)
    }
    case "notIn": {
      const value = own(labels, selector.key)
      return value === undefined || !selector.values.includes(value)
    }
    case "contains":
      return own(labels, selector.key)?.includes(selector.value) ?? false
    case "startsWith":
      return own(labels, selector.key)?.startsWith(selector.value) ?? false
    case "endsWith":
      return own(labels, selector.key)?.endsWith(selector.value) ?? false
    case "and":
      return selector.of.every((part) => selects(part, labels))
    case "or":
      return selector.of.some((part) => selects(part, labels))
    case "not":
      return !selects(selector.of, labels)
  }
}

/** `labels` is a record from outside: a key such as `constructor` must not find Object's own property. */
function own(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}

/** The label keys that a selector asks about, as often as it does. */
export function keysOf(selector: Selector): string[] {
  switch (selector.kind) {
    case "and":
    case "or":
      return selector.of.flatMap(keysOf)
    case "not":
      return keysOf(selector.of)
    case "all":
    case "none":
      return []
    default:
      return [selector.key]
  }
}
