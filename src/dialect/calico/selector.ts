import type { Selector } from "../../model/selector.ts"

/** A selector that does not parse: `offset` counts UTF-16 units from the start of the text. */
export class SelectorError extends Error {
  readonly code = "calico-selector"
  readonly offset: number
  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** A parsed selector, and whether `global()` occurs in it (legal only alone in a namespaceSelector). */
export interface ParsedSelector {
  readonly selector: Selector
  readonly global: boolean
}

/** Key of the namespace label that Calico gives every namespaced endpoint and network set. */
export const NAMESPACE_KEY = "projectcalico.org/namespace"

const LABEL = /[A-Za-z0-9_./-]{1,512}/y
/** After a label; two words may touch (`notin`), and a word boundary must follow unless a quote or brace does. */
const OPERATOR =
  /==|!=|contains(?![A-Za-z0-9_./-])|starts[ \t]*with(?![A-Za-z0-9_./-])|ends[ \t]*with(?![A-Za-z0-9_./-])|not[ \t]*in(?![A-Za-z0-9_./-])|in(?![A-Za-z0-9_./-])/y

/**
 * Parses Calico's selector language (`libcalico-go/lib/selector`): `has()`, `all()`, `global()`, `==`, `!=`, `in`, `not in`, `contains`,
 * `starts with`, `ends with`, `!`, `&&`, `||`, parentheses. Blank text selects all. Throws `SelectorError`.
 */
export function parseSelector(text: string): ParsedSelector {
  if (/^[ \t]*$/.test(text)) return { selector: { kind: "all" }, global: false }
  const parser = new Parser(text)
  const selector = parser.or(0)
  parser.end()
  return { selector, global: parser.global }
}

/** Deeper nesting is an attack on the stack, not a selector: within the 1024 characters of one there are at most 512 pairs. */
const MAX_DEPTH = 512

class Parser {
  global = false
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  or(depth: number): Selector {
    const parts = [this.and(depth)]
    while (this.take("||")) parts.push(this.and(depth))
    return join("or", parts)
  }

  end(): void {
    this.blanks()
    if (this.at < this.text.length) this.fail(`unexpected ${this.found()}`)
  }

  private and(depth: number): Selector {
    const parts = [this.operation(depth)]
    while (this.take("&&")) parts.push(this.operation(depth))
    return join("and", parts)
  }

  private operation(depth: number): Selector {
    if (depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} nested parentheses`)
    let negated = false
    while (this.take("!")) negated = !negated
    const primary = this.primary(depth)
    return negated ? { kind: "not", of: primary } : primary
  }

  private primary(depth: number): Selector {
    if (this.take("(")) {
      const inner = this.or(depth + 1)
      this.expect(")", "closing parenthesis")
      return inner
    }
    if (this.take("has(")) {
      const key = this.label()
      this.expect(")", "closing parenthesis after the label")
      return { kind: "has", key }
    }
    if (this.take("all(")) {
      this.expect(")", "all() takes nothing between its parentheses")
      return { kind: "all" }
    }
    if (this.take("global(")) {
      this.expect(")", "global() takes nothing between its parentheses")
      this.global = true
      return { kind: "not", of: { kind: "has", key: NAMESPACE_KEY } }
    }
    return this.comparison(this.label())
  }

  private comparison(key: string): Selector {
    this.blanks()
    OPERATOR.lastIndex = this.at
    const operator = OPERATOR.exec(this.text)?.[0]
    if (operator === undefined) {
      this.fail(
        `expected an operator (==, !=, in, not in, contains, starts with, ends with) after label "${key}", found ${this.found()}`,
      )
    }
    this.at += operator.length
    switch (operator.replace(/[ \t]/g, "")) {
      case "==":
        return { kind: "in", key, values: [this.string()] }
      case "!=":
        return { kind: "notIn", key, values: [this.string()] }
      case "contains":
        return { kind: "contains", key, value: this.string() }
      case "startswith":
        return { kind: "startsWith", key, value: this.string() }
      case "endswith":
        return { kind: "endsWith", key, value: this.string() }
      case "in":
        return { kind: "in", key, values: this.set() }
      default:
        return { kind: "notIn", key, values: this.set() }
    }
  }

  private set(): string[] {
    this.expect("{", "a set such as {'a', 'b'}")
    const values: string[] = []
    while (!this.take("}")) {
      values.push(this.string())
      if (this.take(",")) continue
      this.expect("}", "a comma or the closing brace of the set")
      break
    }
    return [...new Set(values)].sort()
  }

  private string(): string {
    this.blanks()
    const quote = this.text[this.at]
    if (quote !== '"' && quote !== "'") this.fail(`expected a quoted string, found ${this.found()}`)
    const close = this.text.indexOf(quote, this.at + 1)
    if (close < 0) this.fail("the string is not closed")
    const value = this.text.slice(this.at + 1, close)
    this.at = close + 1
    return value
  }

  private label(): string {
    this.blanks()
    LABEL.lastIndex = this.at
    const label = LABEL.exec(this.text)?.[0]
    if (label === undefined) this.fail(`expected a label, found ${this.found()}`)
    this.at += label.length
    return label
  }

  private take(token: string): boolean {
    this.blanks()
    if (!this.text.startsWith(token, this.at)) return false
    // `!=` belongs to a comparison, never to a negation.
    if (token === "!" && this.text[this.at + 1] === "=") return false
    this.at += token.length
    return true
  }

  private expect(token: string, what: string): void {
    if (!this.take(token)) this.fail(`expected ${what}, found ${this.found()}`)
  }

  /** Space and tab only: a newline is an error, as in Calico. */
  private blanks(): void {
    while (this.text[this.at] === " " || this.text[this.at] === "\t") this.at++
  }

  private found(): string {
    return this.at >= this.text.length ? "the end" : JSON.stringify(this.text.slice(this.at, this.at + 12))
  }

  private fail(message: string): never {
    throw new SelectorError(message, this.at)
  }
}

function join(kind: "and" | "or", parts: readonly Selector[]): Selector {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : { kind, of: parts }
}
