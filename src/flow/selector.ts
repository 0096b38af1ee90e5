import type { Selector } from "../model/selector.ts"

/** A label selector that cannot be read. */
export class SelectorError extends Error {
  readonly code = "selector"
}

const KEY = /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?/
const SET = /^\s+(in|notin)\s*\(([^()]*)\)/
const EQUAL = /^\s*(==|!=|=)\s*([A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?/

/**
 * Reads a label selector as kubectl has it: `app=web,tier in (a, b),!old,env!=prod`, all requirements joined by and
 * (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors).
 */
export function parseSelector(text: string): Selector {
  const of: Selector[] = []
  let rest = text.trim()
  if (rest === "") return { kind: "all" }
  for (;;) {
    const negated = rest.startsWith("!")
    if (negated) rest = rest.slice(1).trimStart()
    const key = KEY.exec(rest)?.[0]
    if (key === undefined)
      throw new SelectorError(`Cannot read label selector "${text}": wanted a label's key at "${rest}"`)
    rest = rest.slice(key.length)
    const set = negated ? null : SET.exec(rest)
    const equal = negated || set !== null ? null : EQUAL.exec(rest)
    if (set !== null) {
      const values = (set[2] ?? "").split(",").map((value) => value.trim())
      of.push({ kind: set[1] === "in" ? "in" : "notIn", key, values })
    } else if (equal !== null) {
      of.push({ kind: equal[1] === "!=" ? "notIn" : "in", key, values: [equal[2] ?? ""] })
    } else {
      of.push(negated ? { kind: "not", of: { kind: "has", key } } : { kind: "has", key })
    }
    rest = rest.slice((set ?? equal)?.[0].length ?? 0).trimStart()
    if (rest === "") return of.length === 1 && of[0] !== undefined ? of[0] : { kind: "and", of }
    if (!rest.startsWith(",")) {
      throw new SelectorError(`Cannot read label selector "${text}": wanted a comma at "${rest}"`)
    }
    rest = rest.slice(1).trimStart()
  }
}
