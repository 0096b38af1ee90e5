import { Timeout } from "../../kernel/abi.generated.ts"

/** Timeouts in seconds. */
export interface Timeouts {
  readonly tcpSyn: number
  readonly tcpEstablished: number
  readonly tcpClosing: number
  readonly udp: number
  readonly udpReplied: number
  readonly icmp: number
  readonly fragment: number
}

export const defaultTimeouts: Timeouts = {
  tcpSyn: 20,
  tcpEstablished: 7_200,
  tcpClosing: 10,
  udp: 30,
  udpReplied: 120,
  icmp: 10,
  fragment: 30,
}

/** A moment by both of the kernel's clocks. */
export interface Moment {
  /** jiffies64. */
  readonly jiffies: bigint
  /** CLOCK_MONOTONIC in ns. */
  readonly time: bigint
}

/** CONFIG_HZ as kernels have it. */
const rates = [100, 250, 300, 1_000]

/**
 * Ticks in a second, which no system call tells. jiffies64 begins 300 s before 2^32 (INITIAL_JIFFIES in
 * include/linux/jiffies.h), so one moment tells the rate, unless the machine has been up for just those 300 s: then undefined.
 */
export function ticksPerSecond({ jiffies, time }: Moment): number | undefined {
  const seconds = Number(time) / 1e9 - 300
  if (Math.abs(seconds) < 10) return undefined
  return nearest(Number(jiffies - 2n ** 32n) / seconds)
}

/** The same from two moments some time apart. */
export function ticksBetween(from: Moment, to: Moment): number {
  return nearest((Number(to.jiffies - from.jiffies) * 1e9) / Number(to.time - from.time))
}

function nearest(rate: number): number {
  return rates.reduce((best, each) => (Math.abs(Math.log(each / rate)) < Math.abs(Math.log(best / rate)) ? each : best))
}

/** Ticks by `Timeout`, at least one each. */
export function ticksOf(timeouts: Timeouts, rate: number): Record<number, number> {
  const ticks: Record<number, number> = { [Timeout.second]: rate }
  for (const [name, seconds] of Object.entries(timeouts))
    ticks[Timeout[name as keyof Timeouts]] = Math.max(1, Math.round(seconds * rate))
  return ticks
}
