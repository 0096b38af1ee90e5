import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { Failure } from "../api/failure.ts"
import {
  type MapInfo,
  MapInfoSchema,
  type ReadMapResponse,
  ReadMapResponseSchema,
  type StatusResponse,
  StatusResponseSchema,
  type WhyResponse,
  WhyResponseSchema,
} from "../api/generated/heddle/agent/v1/agent_pb.ts"
import { agentOf } from "./lock.ts"
import { kernelTables, whyMessage } from "./service/why.ts"
import { readSnapshot, type Snapshot } from "./snapshot.ts"
import { Tables } from "./tables.ts"
import { answerWhy, type KernelTables, type WhyQuestion } from "./why.ts"

/**
 * What can be told of a node whose agent does not answer: the kernel's pinned tables, and the snapshot that says what their
 * numbers mean. Nothing is changed.
 */
export async function offlineStatus(runDir: string): Promise<StatusResponse> {
  const snapshot = snapshotOf(runDir)
  const tables = openTables(runDir)
  try {
    const generation = tables?.generation ?? 0
    const here = [...snapshot.cluster.endpoints].filter(([, endpoint]) => endpoint.node === snapshot.node)
    const warnings: string[] = []
    const process = agentOf(runDir)
    if (process !== undefined) warnings.push(`process ${process} is its agent, but does not answer`)
    if (tables === undefined)
      warnings.push(
        "nothing is pinned: the kernel enforces nothing for this node (it was restarted, or the node was taken down)",
      )
    else if (generation !== snapshot.generation) {
      warnings.push(
        `the kernel is at generation ${generation}, the state on disk at ${snapshot.generation}: names of rules may be those of the one before`,
      )
    }
    return create(StatusResponseSchema, {
      node: snapshot.node,
      version: snapshot.version,
      alive: false,
      processId: process ?? 0,
      generation,
      digest: snapshot.digest,
      lastCommitMs: BigInt(snapshot.committedAt),
      plane: snapshot.plane,
      routing: snapshot.routing,
      bigTcp: snapshot.bigTcp,
      addresses: [...snapshot.addresses],
      endpoints: here.length,
      endpointsReady: here.filter(([key]) => snapshot.ports.has(key)).length,
      flowsLive: tables?.flowsLive ?? 0n,
      drops: tables?.drops() ?? [],
      lost: tables?.lost() ?? [],
      policies: snapshot.cluster.policies.size,
      warnings,
    })
  } finally {
    tables?.close()
  }
}

export async function offlineMaps(runDir: string): Promise<MapInfo[]> {
  const tables = Tables.open(join(runDir, "bpf"))
  try {
    return tables.list().map((info) => create(MapInfoSchema, info))
  } finally {
    tables.close()
  }
}

export async function offlineMap(runDir: string, name: string, limit: number): Promise<ReadMapResponse> {
  const tables = Tables.open(join(runDir, "bpf"))
  try {
    return create(ReadMapResponseSchema, tables.entries(name, limit))
  } finally {
    tables.close()
  }
}

/** `why` of a dead agent: from the kernel's tables where they are of the generation of the snapshot, else computed. */
export async function offlineWhy(runDir: string, question: WhyQuestion): Promise<WhyResponse> {
  const snapshot = snapshotOf(runDir)
  const { kernel, note } = await readKernel(runDir, snapshot)
  const answer = answerWhy(snapshot, question, kernel)
  const notes = [
    "the agent does not answer: told from pinned tables and the state on disk",
    ...(note === "" ? [] : [note]),
    ...answer.notes,
  ]
  return create(WhyResponseSchema, whyMessage(snapshot, { ...answer, notes }))
}

async function readKernel(runDir: string, snapshot: Snapshot): Promise<{ kernel?: KernelTables; note: string }> {
  try {
    const { readPinned } = await import("./read-pinned.ts")
    const reading = readPinned(join(runDir, "bpf"), snapshot)
    if (reading.generation === snapshot.generation) return { kernel: kernelTables(snapshot, reading), note: "" }
    return {
      note: `the kernel is at generation ${reading.generation}, the state on disk at ${snapshot.generation}: computed instead`,
    }
  } catch (error) {
    return {
      note: `the kernel's tables cannot be read (${error instanceof Error ? error.message : String(error)}): computed instead`,
    }
  }
}

function snapshotOf(runDir: string): Snapshot {
  const snapshot = readSnapshot(runDir)
  if (snapshot !== undefined) return snapshot
  throw new Failure(
    "unreachable",
    `Cannot tell about the node of ${runDir}`,
    "no agent answers, and none left a state there",
    "heddle agent, or heddle lab up",
  )
}

function openTables(runDir: string): Tables | undefined {
  try {
    return Tables.open(join(runDir, "bpf"))
  } catch {
    return undefined
  }
}
