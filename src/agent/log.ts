import { type Logger, pino } from "pino"
import type { LogLevel } from "./configuration.ts"

const names: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
}

/** Logs on standard error: JSON lines, or single lines for people when that is a terminal. */
export function makeLog(level: LogLevel, node: string, write: (line: string) => void, terminal: boolean): Logger {
  return pino({ level, base: { node } }, { write: (line: string) => write(terminal ? pretty(line) : line) })
}

/** `10:12:01.123 info  Agent of node-1 is ready generation=3`. */
function pretty(line: string): string {
  const { level, time, msg, node: _node, err, ...rest } = JSON.parse(line) as Record<string, unknown>
  const at = new Date(Number(time)).toISOString().slice(11, 23)
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  )
  const error = typeof err === "object" && err !== null && "message" in err ? ` (${String(err.message)})` : ""
  return `${at} ${(names[Number(level)] ?? "").padEnd(5)} ${String(msg ?? "")}${error}${fields.join("")}\n`
}
