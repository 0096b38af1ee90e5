import { isRecord } from "../model/manifest.ts"
import type { FieldPath } from "../model/problem.ts"
import type { Report } from "./report.ts"
import { nearestWord } from "./suggest.ts"

/**
 * The fields of object types. A field's type is `string`, `integer`, `number`, `boolean`, `intOrString`, `quantity`, `any`, the
 * name of another object type, or one of these behind `[]` (list) or `{}` (map).
 */
export type ObjectTypes = Readonly<Record<string, Readonly<Record<string, string>>>>

/**
 * Reports fields that `type` does not know and values of the wrong JSON type, as the API server's strict decoding does
 * (fieldValidation=Strict). null stands for absent everywhere.
 */
export function checkForm(
  value: unknown,
  type: string,
  types: ObjectTypes,
  report: Report,
  path: FieldPath = [],
): void {
  checkValue(value, type, path, { types, report, parent: undefined })
}

interface Context {
  readonly types: ObjectTypes
  readonly report: Report
  /** Fields of the object above, to say that a field belongs one level up. */
  readonly parent: Readonly<Record<string, string>> | undefined
}

function checkValue(value: unknown, type: string, path: FieldPath, context: Context): void {
  if (value === null || value === undefined) return
  if (type.startsWith("[]")) {
    if (!Array.isArray(value)) {
      context.report.error(
        path,
        `must be a list, found ${found(value)}`,
        isRecord(value) ? "begin each item with `- `" : undefined,
      )
      return
    }
    for (const [index, item] of value.entries()) {
      if (item === null) context.report.warning([...path, index], "an empty item, taken as one without fields")
      checkValue(item, type.slice(2), [...path, index], context)
    }
    return
  }
  if (type.startsWith("{}")) {
    if (!isRecord(value)) {
      context.report.error(path, `must be a map, found ${found(value)}`)
      return
    }
    for (const [key, item] of Object.entries(value)) checkValue(item, type.slice(2), [...path, key], context)
    return
  }
  const fields = context.types[type]
  if (fields === undefined) {
    checkScalar(value, type, path, context.report)
    return
  }
  if (!isRecord(value)) {
    const hint = Array.isArray(value) ? "it is not a list: leave out the `- `" : undefined
    context.report.error(path, `must be an object, found ${found(value)}`, hint)
    return
  }
  const inner = { ...context, parent: fields }
  for (const [name, item] of Object.entries(value)) {
    const fieldType = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (fieldType === undefined) {
      context.report.error([...path, name], "unknown field", fieldHint(name, fields, context))
    } else checkValue(item, fieldType, [...path, name], inner)
  }
}

function fieldHint(name: string, fields: Readonly<Record<string, string>>, context: Context): string {
  const near = nearestWord(name, Object.keys(fields))
  if (near !== undefined) return `did you mean ${near}?`
  for (const [field, type] of Object.entries(fields)) {
    const inner = context.types[type]
    if (inner !== undefined && Object.hasOwn(inner, name)) return `it belongs inside ${field}`
  }
  if (context.parent !== undefined && Object.hasOwn(context.parent, name)) {
    return "it belongs one level further out: check the indentation"
  }
  const known = Object.keys(fields)
  return known.length <= 12 ? `known here: ${known.join(", ")}` : "see `kubectl explain` for the fields of this kind"
}

function checkScalar(value: unknown, type: string, path: FieldPath, report: Report): void {
  switch (type) {
    case "any":
      return
    case "string":
      if (typeof value !== "string") report.error(path, `must be a text, found ${found(value)}`, quoteHint(value))
      return
    case "quantity":
      if (typeof value !== "string" && typeof value !== "number") {
        report.error(path, `must be a quantity such as 100m or 1Gi, found ${found(value)}`)
      }
      return
    case "boolean":
      if (typeof value !== "boolean") report.error(path, `must be true or false, found ${found(value)}`)
      return
    case "integer":
      if (!Number.isInteger(value)) {
        const numeric = typeof value === "string" && /^-?\d+$/.test(value)
        report.error(
          path,
          `must be a whole number, found ${found(value)}`,
          numeric ? "leave out the quotes" : undefined,
        )
      }
      return
    case "number":
      if (typeof value !== "number") report.error(path, `must be a number, found ${found(value)}`)
      return
    case "intOrString":
      if (typeof value !== "string" && !Number.isInteger(value)) {
        report.error(path, `must be a whole number or a text, found ${found(value)}`)
      }
      return
    default:
      throw new Error(`The schema names the type ${type}, which it does not define`)
  }
}

function quoteHint(value: unknown): string | undefined {
  if (typeof value === "number") return `write it in quotes: "${value}"`
  if (typeof value === "boolean")
    return "write it in quotes: without them YAML reads yes, no, on, off, y and n as true or false"
  return undefined
}

function found(value: unknown): string {
  if (Array.isArray(value)) return "a list"
  if (isRecord(value)) return "a map"
  return `${typeof value === "string" ? "the text" : `the ${typeof value}`} ${JSON.stringify(value)}`
}
