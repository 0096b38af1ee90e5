import { join } from "node:path"
import { layout } from "../kernel/abi.generated.ts"
import { BpfMap } from "../kernel/bpf/map.ts"
import { pinName } from "../kernel/bpf/object.ts"
import { readAddresses, readPrefixes } from "../plane/ebpf/addresses.ts"
import { readPorts } from "../plane/ebpf/endpoints.ts"
import { readState } from "../plane/ebpf/reading.ts"
import { Tables } from "../plane/ebpf/tables.ts"
import type { PlaneReading } from "../plane/plane.ts"
import type { Snapshot } from "./snapshot.ts"

/** What the kernel holds for a node without an agent, with the names that the snapshot gives its numbers. Only reads. */
export function readPinned(pins: string, snapshot: Snapshot): PlaneReading {
  const opened = new Map<string, BpfMap>()
  const map = (name: string): BpfMap => {
    const found = opened.get(name) ?? BpfMap.openPinned(join(pins, pinName(name, layout)), name)
    opened.set(name, found)
    return found
  }
  try {
    const held = {
      addresses: readAddresses(map("addrs")),
      prefixes: readPrefixes(map("prefixes")),
      ports: readPorts(map("endpoints")),
    }
    const owners = new Map(
      [...snapshot.cluster.endpoints].flatMap(([key, { addresses }]) => addresses.map((one) => [one, key] as const)),
    )
    return readState(new Tables(map), held, {
      endpoints: inverse(snapshot.numbers),
      nodes: inverse(snapshot.peers),
      sandboxes: new Map(),
      owners,
      self: snapshot.node,
    })
  } finally {
    for (const one of opened.values()) one.close()
  }
}

function inverse(numbers: Snapshot["numbers"]): Map<number, string> {
  return new Map([...numbers].map(([name, { number }]) => [number, name]))
}
