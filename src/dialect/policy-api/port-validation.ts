import type { FieldPath } from "../../model/problem.ts"
import { portNumberFault } from "../kubernetes/names.ts"
import { protocolNumbers } from "../kubernetes/network-policy.ts"
import { fieldAt, numberAt, recordAt, textAt } from "../read.ts"
import type { Report } from "../report.ts"
import { type Judging, oneKnown } from "./judging.ts"

/** Kinds of an entry of `protocols` (v1alpha2). */
export const protocolFields: readonly string[] = ["tcp", "udp", "sctp", "destinationNamedPort"]
/** Kinds of an entry of `ports` (v1alpha1). */
export const adminPortFields: readonly string[] = ["portNumber", "namedPort", "portRange"]

/** An entry of `protocols` (v1alpha2). */
export function validateProtocol(entry: unknown, path: FieldPath, judging: Judging): void {
  if (!oneKnown(entry, protocolFields, "protocol", path, judging)) return
  for (const protocol of ["tcp", "udp", "sctp"]) {
    const match = recordAt(entry, protocol)
    if (match === undefined || !oneKnown(match, ["destinationPort"], "match", [...path, protocol], judging)) continue
    const portPath = [...path, protocol, "destinationPort"]
    const port = recordAt(match, "destinationPort")
    if (port === undefined || !oneKnown(port, ["number", "range"], "port", portPath, judging)) continue
    validateNumber(port, "number", portPath, judging.report)
    const range = recordAt(port, "range")
    if (range !== undefined) validateRange(range, [...portPath, "range"], judging.report)
  }
}

/** An entry of `ports` (v1alpha1). */
export function validateAdminPort(entry: unknown, path: FieldPath, judging: Judging): void {
  const { report } = judging
  if (!oneKnown(entry, adminPortFields, "port", path, judging)) return
  const number = recordAt(entry, "portNumber")
  if (number !== undefined) {
    validateProtocolName(number, [...path, "portNumber"], report)
    if (fieldAt(number, "port") === undefined) report.error([...path, "portNumber", "port"], "port is required")
    validateNumber(number, "port", [...path, "portNumber"], report)
  }
  const range = recordAt(entry, "portRange")
  if (range !== undefined) {
    validateProtocolName(range, [...path, "portRange"], report)
    validateRange(range, [...path, "portRange"], report)
  }
}

function validateProtocolName(value: unknown, path: FieldPath, report: Report): void {
  const protocol = textAt(value, "protocol")
  if (protocol === undefined || protocolNumbers[protocol] !== undefined) return
  report.error([...path, "protocol"], `unsupported protocol ${JSON.stringify(protocol)}`, "allowed: TCP, UDP, SCTP")
}

function validateNumber(value: unknown, field: string, path: FieldPath, report: Report): void {
  const number = numberAt(value, field)
  const fault = number === undefined ? undefined : portNumberFault(number)
  if (fault !== undefined) report.error([...path, field], `port ${number} ${fault}`)
}

function validateRange(range: unknown, path: FieldPath, report: Report): void {
  for (const field of ["start", "end"]) {
    if (fieldAt(range, field) === undefined) report.error([...path, field], `${field} is required`)
    validateNumber(range, field, path, report)
  }
  const start = numberAt(range, "start")
  const end = numberAt(range, "end")
  if (start === undefined || end === undefined || start < end) return
  const hint = start === end ? "write a single port as a number" : "the lower port comes first"
  report.error(path, `start ${start} must be less than end ${end}`, hint)
}
