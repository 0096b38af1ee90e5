import { answeredCase } from "./answers.ts"
import type { Report } from "./report.ts"

/** Each case back, one a line, with the answers added. */
export function jsonlReport(): Report {
  return { result: (result) => `${JSON.stringify(answeredCase(result))}\n`, end: () => "" }
}
