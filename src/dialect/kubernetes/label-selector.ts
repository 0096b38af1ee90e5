import type { FieldPath } from "../../model/problem.ts"
import type { Selector } from "../../model/selector.ts"
import { fieldAt, listAt, textAt, textMapAt, textsAt } from "../read.ts"
import type { Report } from "../report.ts"
import { nearestWord } from "../suggest.ts"
import { validateLabels } from "./metadata.ts"
import { labelKeyFault, labelValueFault } from "./names.ts"

const operators = ["In", "NotIn", "Exists", "DoesNotExist"]

/** ValidateLabelSelector of the API server (meta/v1/validation), strict about values as it is for new objects. */
export function validateLabelSelector(selector: unknown, path: FieldPath, report: Report): void {
  validateLabels(fieldAt(selector, "matchLabels"), [...path, "matchLabels"], report)
  for (const [index, expression] of listAt(selector, "matchExpressions").entries()) {
    validateExpression(expression, [...path, "matchExpressions", index], report)
  }
}

function validateExpression(expression: unknown, path: FieldPath, report: Report): void {
  const key = textAt(expression, "key") ?? ""
  const keyFault = labelKeyFault(key)
  if (keyFault !== undefined) {
    report.error(
      [...path, "key"],
      key === "" ? "a label key is required" : `the label key ${JSON.stringify(key)} ${keyFault}`,
    )
  }
  const operator = textAt(expression, "operator") ?? ""
  const values = listAt(expression, "values")
  const valuesPath = [...path, "values"]
  if (operator === "In" || operator === "NotIn") {
    if (values.length === 0) report.error(valuesPath, `operator ${operator} needs at least one value`)
    for (const [index, value] of values.entries()) {
      const fault = typeof value === "string" ? labelValueFault(value) : undefined
      if (fault !== undefined) report.error([...valuesPath, index], `the label value ${JSON.stringify(value)} ${fault}`)
    }
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    if (values.length > 0)
      report.error(valuesPath, `operator ${operator} takes no values`, "use In or NotIn to compare values")
  } else {
    const near = operator === "" ? undefined : nearestWord(operator, operators)
    const hint = near === undefined ? `allowed: ${operators.join(", ")}` : `did you mean ${near}?`
    report.error(
      [...path, "operator"],
      operator === "" ? "an operator is required" : `unknown operator ${JSON.stringify(operator)}`,
      hint,
    )
  }
}

/** The selector of a valid `LabelSelector`: all parts must hold; an empty one selects everything. */
export function selectorOf(selector: unknown): Selector {
  const parts: Selector[] = []
  for (const [key, value] of Object.entries(textMapAt(selector, "matchLabels")))
    parts.push({ kind: "in", key, values: [value] })
  for (const expression of listAt(selector, "matchExpressions")) {
    const key = textAt(expression, "key") ?? ""
    const values = textsAt(expression, "values")
    switch (textAt(expression, "operator")) {
      case "In":
        parts.push({ kind: "in", key, values })
        break
      case "NotIn":
        parts.push({ kind: "notIn", key, values })
        break
      case "Exists":
        parts.push({ kind: "has", key })
        break
      case "DoesNotExist":
        parts.push({ kind: "not", of: { kind: "has", key } })
        break
      default:
        // Validation refuses it; should it ever come here, it selects nothing rather than everything.
        parts.push({ kind: "none" })
    }
  }
  if (parts.length === 0) return { kind: "all" }
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : { kind: "and", of: parts }
}
