/** `3 endpoints`, `1 endpoint`. */
export function count(n: number | bigint, one: string, many = `${one}s`): string {
  return `${n} ${Number(n) === 1 ? one : many}`
}

/** Bytes as people read them: `1.5 MiB`. */
export function bytesText(n: number | bigint): string {
  let value = Number(n)
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return unit === "B" ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`
    value /= 1024
  }
  return `${value.toFixed(1)} TiB`
}

/** A length of time as people read it: `3.2 ms`, `12 s`, `5 min`, `2 h 10 min`. */
export function durationText(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} min`
  return `${Math.round(ms / 86_400_000)} d`
}

/** `file:line:column`, without what is not known. */
export function originText(origin: { file: string; line: number; column: number } | undefined): string {
  if (origin === undefined || origin.file === "") return ""
  return origin.line === 0
    ? origin.file
    : `${origin.file}:${origin.line}${origin.column > 0 ? `:${origin.column}` : ""}`
}

const protocols: readonly (readonly [string, number])[] = [
  ["ICMP", 1],
  ["TCP", 6],
  ["UDP", 17],
  ["ICMPv6", 58],
  ["SCTP", 132],
]

export function protocolName(number: number): string {
  return protocols.find(([, known]) => known === number)?.[0] ?? `protocol ${number}`
}

/** Number of a protocol by name (any case) or number; undefined when it is neither. */
export function protocolNumber(text: string): number | undefined {
  const known = protocols.find(([name]) => name.toLowerCase() === text.toLowerCase())
  if (known !== undefined) return known[1]
  return /^\d{1,3}$/.test(text) && Number(text) < 256 ? Number(text) : undefined
}
