import { readFileSync, writeFileSync } from "node:fs"
import { cpus, loadavg, totalmem } from "node:os"
import { join } from "node:path"

/** What the figures were taken on: they mean nothing without. */
export function machine(): Record<string, unknown> {
  return {
    date: new Date().toISOString(),
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    node: process.version,
    mitigations: readText("/sys/devices/system/cpu/vulnerabilities/spec_rstack_overflow"),
    jit: readText("/proc/sys/net/core/bpf_jit_enable"),
    /** Neighbours: ratios of one run may be compared, absolute figures of two runs hardly. */
    load: loadavg().map((one) => Number(one.toFixed(1))),
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim()
  } catch {
    return "unknown"
  }
}

/** Writes results beside the code and tells where. */
export function writeResults(name: string, results: Readonly<Record<string, unknown>>): void {
  const file = join(import.meta.dirname, "results", `${name}.json`)
  writeFileSync(file, `${JSON.stringify({ machine: machine(), ...results }, rounded, 2)}\n`)
  console.error(`wrote ${file}`)
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}

/** The value below which that share of all lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
}

/** Half the interquartile range. */
export function spread(values: readonly number[]): number {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / 2
}

export interface Times {
  readonly runs: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

export function times(values: readonly number[]): Times {
  return {
    runs: values.length,
    p50: median(values),
    p90: quantile(values, 0.9),
    p99: quantile(values, 0.99),
    max: quantile(values, 1),
  }
}

/** Rounds of measurements in another order each time: what drifts (neighbours, temperature) meets all alike. */
export function shuffled<T>(all: readonly T[]): T[] {
  const order = [...all]
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    const [a, b] = [order[i], order[j]]
    if (a !== undefined && b !== undefined) [order[i], order[j]] = [b, a]
  }
  return order
}

/** `--name value` of the command line. */
export function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}

export function flag(name: string): boolean {
  return process.argv.includes(`--${name}`)
}
