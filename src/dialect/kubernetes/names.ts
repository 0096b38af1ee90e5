/*
 * The forms of names in the Kubernetes API. Each function returns what is wrong, or undefined. Source of the rules:
 * k8s.io/apimachinery pkg/util/validation and pkg/api/validate/content.
 */

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const serviceLabel = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const word = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/

/** RFC 1123 label: names of namespaces. */
export function labelNameFault(name: string): string | undefined {
  if (name.length > 63) return `is ${name.length} characters long, at most 63 are allowed`
  if (label.test(name)) return undefined
  if (subdomain.test(name)) return "must not contain dots"
  return "must be lower-case letters, digits and '-', beginning and ending with a letter or digit"
}

/** RFC 1123 subdomain: names of most objects. */
export function subdomainNameFault(name: string): string | undefined {
  if (name.length > 253) return `is ${name.length} characters long, at most 253 are allowed`
  if (subdomain.test(name)) return undefined
  return "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
}

/** RFC 1035 label: names of Services. */
export function serviceNameFault(name: string): string | undefined {
  if (name.length > 63) return `is ${name.length} characters long, at most 63 are allowed`
  if (serviceLabel.test(name)) return undefined
  return "must be lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit"
}

/** Names of RBAC objects: a path segment. */
export function segmentNameFault(name: string): string | undefined {
  if (name === "." || name === "..") return `may not be '${name}'`
  return /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined
}

/** Label key: an optional DNS subdomain and `/`, then at most 63 of letters, digits, `-`, `_`, `.`. */
export function labelKeyFault(key: string): string | undefined {
  const parts = key.split("/")
  if (parts.length > 2) return "may contain one '/' only, between prefix and name"
  const name = parts.at(-1) ?? ""
  if (parts.length === 2) {
    const prefix = parts[0] ?? ""
    if (prefix === "") return "has an empty prefix before '/'"
    const fault = subdomainNameFault(prefix)
    if (fault !== undefined) return `has the prefix ${JSON.stringify(prefix)}, which ${fault}`
  }
  if (name === "") return parts.length === 2 ? "has no name behind '/'" : "must not be empty"
  if (name.length > 63) return `has a name of ${name.length} characters, at most 63 are allowed`
  if (word.test(name)) return undefined
  return "must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
}

/** Label value: empty, or at most 63 of letters, digits, `-`, `_`, `.`. */
export function labelValueFault(value: string): string | undefined {
  if (value.length > 63) return `is ${value.length} characters long, at most 63 are allowed`
  if (value === "" || word.test(value)) return undefined
  return "must be empty, or letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
}

/** Name of a port (RFC 6335 service name, lower case only). */
export function portNameFault(name: string): string | undefined {
  if (name.length > 15) return `is ${name.length} characters long, at most 15 are allowed`
  if (!/^[-a-z0-9]+$/.test(name)) return "must be lower-case letters, digits and '-'"
  if (!/[a-z]/.test(name)) return "must contain at least one letter"
  if (name.includes("--")) return "must not contain two hyphens in a row"
  if (name.startsWith("-") || name.endsWith("-")) return "must not begin or end with a hyphen"
  return undefined
}

/** Port number 1–65535. */
export function portNumberFault(port: number): string | undefined {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? undefined : "must be between 1 and 65535"
}
