import { selects } from "../model/selector.ts"
import { tryParseAddress } from "../net/address.ts"
import { parsePrefix, prefixContains } from "../net/prefix.ts"
import type { Address } from "../net/types.ts"
import type { Decision, FlowEnd } from "./record.ts"
import { parseSelector } from "./selector.ts"
import { type FlowPredicate, type FlowTexts, isForwarded, type Segment } from "./store.ts"

/**
 * Which flows are wanted. Values of one field are alternatives, fields must all hold; an empty or absent field asks nothing. Fields
 * without `from` or `to` look at both ends and are satisfied by either.
 */
export interface FlowFilter {
  /** `NAME` in any namespace or `NAMESPACE/NAME`; a trailing `*` stands for any rest. */
  readonly pods?: readonly string[]
  readonly fromPods?: readonly string[]
  readonly toPods?: readonly string[]
  readonly namespaces?: readonly string[]
  readonly fromNamespaces?: readonly string[]
  readonly toNamespaces?: readonly string[]
  /** Label selectors as kubectl has them. */
  readonly labels?: readonly string[]
  readonly fromLabels?: readonly string[]
  readonly toLabels?: readonly string[]
  /** Addresses or blocks. */
  readonly ips?: readonly string[]
  readonly fromIps?: readonly string[]
  readonly toIps?: readonly string[]
  readonly ports?: readonly number[]
  readonly fromPorts?: readonly number[]
  readonly toPorts?: readonly number[]
  readonly protocols?: readonly number[]
  /** `forwarded`, `dropped`. */
  readonly verdicts?: readonly string[]
  readonly reasons?: readonly string[]
  /** Parts of the text of a deciding rule's id. */
  readonly rules?: readonly string[]
  /** `start`, `end`, `judged`, `drop`. */
  readonly kinds?: readonly string[]
  /** Only flows of which staged policies would decide an end otherwise. */
  readonly staged?: boolean
  /** Not what interfaces say to their link of themselves: multicast and router solicitations, which nothing forwards. */
  readonly noChatter?: boolean
}

export class FilterError extends Error {
  readonly code = "filter"
}

type EndTest = (end: FlowEnd) => boolean

/** Makes a filter into a predicate over the store's columns; each distinct end is tested once. Throws `FilterError`. */
export function compileFilter(filter: FlowFilter, texts: FlowTexts): FlowPredicate {
  const tests: FlowPredicate[] = []
  ends(tests, filter.pods, filter.fromPods, filter.toPods, podTest)
  ends(tests, filter.namespaces, filter.fromNamespaces, filter.toNamespaces, namespaceTest)
  ends(tests, filter.labels, filter.fromLabels, filter.toLabels, labelTest)
  ends(tests, filter.ips, filter.fromIps, filter.toIps, ipTest)
  const { ports, fromPorts, toPorts, protocols, verdicts, reasons, rules, kinds } = filter
  if (given(ports))
    tests.push(
      (s, i) =>
        hasPort(s.protocol[i]) && (ports.includes(s.ports[2 * i] ?? 0) || ports.includes(s.ports[2 * i + 1] ?? 0)),
    )
  if (given(fromPorts)) tests.push((s, i) => hasPort(s.protocol[i]) && fromPorts.includes(s.ports[2 * i] ?? 0))
  if (given(toPorts)) tests.push((s, i) => hasPort(s.protocol[i]) && toPorts.includes(s.ports[2 * i + 1] ?? 0))
  if (given(protocols)) tests.push((s, i) => protocols.includes(s.protocol[i] ?? 0))
  if (given(verdicts)) {
    const [forwarded, dropped] = [verdicts.includes("forwarded"), verdicts.includes("dropped")]
    known(verdicts, ["forwarded", "dropped"], "verdict")
    tests.push((s, i) => (isForwarded(s, i) ? forwarded : dropped))
  }
  if (given(reasons)) {
    const numbers = numbersOf(reasons, texts.reasons, "reason")
    tests.push((s, i) => numbers.has(s.reason[i] ?? 0))
  }
  if (given(kinds)) {
    const numbers = numbersOf(kinds, texts.kinds, "kind of event")
    tests.push((s, i) => numbers.has(s.kind[i] ?? 0))
  }
  if (given(rules)) {
    tests.push((s, i) =>
      [s.decisions[s.egress[i] ?? 0], s.decisions[s.ingress[i] ?? 0]].some(
        (decision) => decision !== undefined && rules.some((rule) => decision.rule.includes(rule)),
      ),
    )
  }
  if (filter.staged === true) {
    tests.push((s, i) => wouldChange(s.decisions[s.egress[i] ?? 0]) || wouldChange(s.decisions[s.ingress[i] ?? 0]))
  }
  if (filter.noChatter === true) {
    const [drop, multicast] = [texts.kinds.indexOf("drop"), texts.reasons.indexOf("multicast")]
    tests.push((s, i) => s.kind[i] !== drop || !(s.reason[i] === multicast || isRouterSolicitation(s, i)))
  }
  return (segment, i) => tests.every((test) => test(segment, i))
}

function wouldChange(decision: Decision | undefined): boolean {
  return decision?.staged !== undefined && decision.staged.allowed !== decision.allowed
}

const ICMPV6 = 58
const ROUTER_SOLICITATION = 133

function isRouterSolicitation(segment: Segment, i: number): boolean {
  return segment.protocol[i] === ICMPV6 && (segment.ports[2 * i + 1] ?? 0) >> 8 === ROUTER_SOLICITATION
}

function given<T>(list: readonly T[] | undefined): list is readonly T[] {
  return list !== undefined && list.length > 0
}

function hasPort(protocol: number | undefined): boolean {
  return protocol !== 1 && protocol !== 58
}

function ends(
  tests: FlowPredicate[],
  either: readonly string[] | undefined,
  from: readonly string[] | undefined,
  to: readonly string[] | undefined,
  make: (text: string) => EndTest,
): void {
  if (given(either)) {
    const test = anyOf(either, make)
    tests.push((s, i) => at(s.ends, s.source[i], test) || at(s.ends, s.destination[i], test))
  }
  if (given(from)) {
    const test = anyOf(from, make)
    tests.push((s, i) => at(s.ends, s.source[i], test))
  }
  if (given(to)) {
    const test = anyOf(to, make)
    tests.push((s, i) => at(s.ends, s.destination[i], test))
  }
}

function at(ends: readonly FlowEnd[], index: number | undefined, test: EndTest): boolean {
  const end = ends[index ?? 0]
  return end !== undefined && test(end)
}

/** One test for all alternatives that remembers its answers. */
function anyOf(texts: readonly string[], make: (text: string) => EndTest): EndTest {
  const tests = texts.map(make)
  const answers = new WeakMap<FlowEnd, boolean>()
  return (end) => {
    let answer = answers.get(end)
    if (answer === undefined) {
      answer = tests.some((test) => test(end))
      answers.set(end, answer)
    }
    return answer
  }
}

function podTest(text: string): EndTest {
  const slash = text.indexOf("/")
  const namespace = slash < 0 ? undefined : wild(text.slice(0, slash))
  const rest = text.slice(slash + 1)
  // `shop/` means every pod of shop.
  const name = wild(rest === "" ? "*" : rest)
  return (end) => end.kind === "pod" && (namespace === undefined || namespace(end.namespace)) && name(end.name)
}

function namespaceTest(text: string): EndTest {
  const matches = wild(text)
  return (end) => end.kind === "pod" && matches(end.namespace)
}

function wild(text: string): (value: string) => boolean {
  if (!text.endsWith("*")) return (value) => value === text
  const start = text.slice(0, -1)
  return (value) => value.startsWith(start)
}

function labelTest(text: string): EndTest {
  const selector = parseSelector(text)
  return (end) => (end.kind === "pod" || end.kind === "node") && selects(selector, end.labels)
}

function ipTest(text: string): EndTest {
  const address: Address | undefined = tryParseAddress(text)
  if (address !== undefined) return (end) => end.address === address
  try {
    const prefix = parsePrefix(text)
    return (end) => prefixContains(prefix, end.address)
  } catch (error) {
    throw new FilterError(`Cannot filter by "${text}": neither an address nor a block`, { cause: error })
  }
}

function numbersOf(
  names: readonly string[],
  texts: readonly (string | undefined)[],
  what: string,
): ReadonlySet<number> {
  const all = texts.filter((text) => text !== undefined)
  known(names, all, what)
  return new Set(names.map((name) => texts.indexOf(name)))
}

function known(names: readonly string[], all: readonly string[], what: string): void {
  for (const name of names) {
    if (!all.includes(name))
      throw new FilterError(`Cannot filter by "${name}": no such ${what} (there are: ${all.join(", ")})`)
  }
}
