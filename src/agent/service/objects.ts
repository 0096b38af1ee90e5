import { setImmediate, setTimeout as sleep } from "node:timers/promises"
import { Failure, reasonOf } from "../../api/failure.ts"
import type { AgentService } from "../../api/server.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import { isRecord } from "../../model/manifest.ts"
import type { Problem } from "../../model/problem.ts"
import { admit } from "../../source/admit.ts"
import { contentHash } from "../../source/digest.ts"
import { identify, type ObjectRef, objectKey } from "../../source/objects.ts"
import { readManifests } from "../../source/yaml.ts"
import type { RunningNode } from "../node.ts"
import { problemMessage, refMessage, storedMessage } from "./message.ts"

interface Result {
  readonly ref?: ReturnType<typeof refMessage>
  readonly result: string
  readonly problems: ReturnType<typeof problemMessage>[]
  readonly kept?: string
  readonly origin?: ManifestObject["origin"]
}

/** Objects of an answer in one turn of the event loop: about 3 ms. */
const OBJECTS_A_TURN = 100
/** How long an `await` waits before it looks itself, in ms, and every how many times it looks at all files. */
const SOON_MS = 100
const ROUNDS_TO_SCAN = 10
/** How long a change of the directory may take to be read, in ms: it is read at once, but deletions wait a little. */
const READ_MS = 2_000

/** What a call changed in the directory, and how to tell that the source has read it. */
interface Change {
  readonly file: string
  readonly isRead: () => boolean
}

/** Puts objects into the directory and answers when this node has read them. */
export function applyMethod(node: RunningNode): AgentService["apply"] {
  return async (request) => {
    const { objects, problems } = readAll(request.manifests)
    const results: Result[] = []
    const changes: Change[] = []
    for (const found of objects) {
      const object = withNamespace(found, request.namespace)
      results.push(applyOne(node, object, request.dryRun, changes))
    }
    await untilRead(node, changes)
    return { results, problems, digest: request.dryRun ? "" : node.store.digest }
  }
}

function applyOne(node: RunningNode, object: ManifestObject, dryRun: boolean, changes: Change[]): Result {
  const ref = identify(object)
  const { accepted, problems } = admit(object, node.store)
  const common = {
    problems: problems.map(problemMessage),
    origin: object.origin,
    ...(ref === undefined ? {} : { ref: refMessage(ref) }),
  }
  const before = ref === undefined ? undefined : node.store.get(ref)
  if (!accepted || ref === undefined) {
    if (accepted) return { ...common, result: "ignored" }
    const kept =
      before === undefined
        ? "no earlier version is in force"
        : `the version in force is kept: ${before.origin.file}:${before.origin.line}`
    return { ...common, result: "refused", kept }
  }
  // What a controller says about an object is not what the person who applies it left out.
  const value = before === undefined ? object.value : keepStatus(object.value, before.value)
  const hash = contentHash(objectKey(ref), value)
  const isRead = (): boolean => node.store.hashOf(ref) === hash
  const result = before === undefined ? "created" : isRead() ? "unchanged" : "configured"
  if (dryRun) return { ...common, result }
  try {
    const file = node.files.write({ ...object, value, originAt: (path) => object.originAt(path) }, ref)
    changes.push({ file, isRead })
    return { ...common, result }
  } catch (error) {
    return { ...common, result: "refused", problems: [...common.problems, problemMessage(writeProblem(object, error))] }
  }
}

/** Takes objects out of the directory and answers when this node has read that. */
export function deleteMethod(node: RunningNode): AgentService["delete"] {
  return async (request) => {
    const { objects, problems } = readAll(request.manifests)
    const refs = objects.flatMap((object) => identify(withNamespace(object, request.namespace)) ?? [])
    for (const ref of request.refs) {
      const found = find(node, ref)
      if (found === undefined) refs.push({ apiVersion: "", kind: ref.kind, namespace: ref.namespace, name: ref.name })
      else refs.push(found)
    }
    const results: Result[] = []
    const changes: Change[] = []
    for (const ref of refs) {
      const common = { ref: refMessage(ref), problems: [] }
      const there = node.store.get(ref) !== undefined
      try {
        const file = request.dryRun ? undefined : node.files.remove(ref)
        results.push({ ...common, result: file !== undefined || (request.dryRun && there) ? "deleted" : "not-found" })
        if (file !== undefined) changes.push({ file, isRead: () => node.store.get(ref) === undefined })
      } catch (error) {
        const origin = { file: node.configuration.objects, line: 1, column: 1 }
        const problem = writeProblem({ origin }, error)
        results.push({ ...common, result: "refused", problems: [problemMessage(problem)] })
      }
    }
    await untilRead(node, changes)
    return { results, problems, digest: request.dryRun ? "" : node.store.digest }
  }
}

export function getMethod(node: RunningNode): AgentService["get"] {
  return async (request) => {
    const kind = kindMatcher(request.kind)
    const wanted = node.store
      .list()
      .filter(
        ({ ref }) =>
          kind(ref.kind) &&
          (request.name === "" || ref.name === request.name) &&
          (request.namespace === "" || ref.namespace === request.namespace),
      )
    const objects: ReturnType<typeof storedMessage>[] = []
    for (const [index, object] of wanted.entries()) {
      // Each is read from disk; others have a turn between.
      if (index % OBJECTS_A_TURN === OBJECTS_A_TURN - 1) await setImmediate()
      if (node.store.get(object.ref) !== undefined) objects.push(storedMessage(object))
    }
    return { objects }
  }
}

/** Answers when the node enforces the objects with that digest, or later ones; or when the time is up. */
export function awaitMethod(node: RunningNode): AgentService["await"] {
  return async (request, context) => {
    const end = node.now() + (request.timeoutMs === 0 ? 10_000 : request.timeoutMs)
    const { digest } = request
    const enforced = (): string => node.committer.enforced?.digest ?? ""
    const reached = (): boolean => node.digests.reached(digest, enforced())
    // A state that comes again was reached once before: what the writer has just written must be read before that counts.
    if (enforced() !== digest && node.digests.newest !== digest) await node.source.catchUp()
    for (let round = 0; !reached() && node.now() < end && !context.signal.aborted; round++) {
      await commitOrPause(node, Math.max(1, Math.min(SOON_MS, end - node.now())))
      if (reached() || node.digests.newest === digest) continue
      // Notifications of the directory may come late or get lost: the writer has written before it asked.
      if (round % ROUNDS_TO_SCAN === ROUNDS_TO_SCAN - 1) await node.source.scan()
      else await node.source.catchUp()
    }
    return {
      reached: reached(),
      digest: enforced(),
      generation: node.committer.enforced?.generation ?? 0,
      error: node.committer.failure?.message ?? "",
    }
  }
}

function commitOrPause(node: RunningNode, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop()
      clearTimeout(timer)
      resolve()
    }
    const stop = node.onCommit(done)
    const timer = setTimeout(done, Math.max(1, ms))
  })
}

function readAll(manifests: readonly { readonly text: string; readonly file: string }[]): {
  objects: ManifestObject[]
  problems: ReturnType<typeof problemMessage>[]
} {
  const read = manifests.map(({ text, file }) => readManifests(text, file))
  return {
    objects: read.flatMap((one) => one.objects),
    problems: read.flatMap((one) => one.problems.map(problemMessage)),
  }
}

/** Looks until the source has read what was changed, or as long as it may hold that back. */
async function untilRead(node: RunningNode, changes: readonly Change[]): Promise<void> {
  const end = node.now() + READ_MS
  for (let left = changes; left.length > 0; ) {
    await node.source.look(left.map(({ file }) => file))
    left = left.filter(({ isRead }) => !isRead())
    if (left.length === 0 || node.now() >= end) return
    await sleep(20)
  }
}

/** The object with a namespace, when its kind has one and it names none. */
function withNamespace(object: ManifestObject, namespace: string): ManifestObject {
  const { value } = object
  if (namespace === "" || !isRecord(value) || !isRecord(value["metadata"])) return object
  if (value["metadata"]["namespace"] !== undefined || identify(object)?.namespace === "") return object
  return {
    value: { ...value, metadata: { ...value["metadata"], namespace } },
    origin: object.origin,
    originAt: (path) => object.originAt(path),
  }
}

/** Keeps the status (and the node that a pod was put on) of the object in force when the new text says nothing about it. */
function keepStatus(value: unknown, before: unknown): unknown {
  if (!isRecord(value) || !isRecord(before)) return value
  const status = value["status"] === undefined && before["status"] !== undefined ? { status: before["status"] } : {}
  const [spec, old] = [value["spec"], before["spec"]]
  const placed =
    value["kind"] === "Pod" &&
    isRecord(spec) &&
    isRecord(old) &&
    spec["nodeName"] === undefined &&
    old["nodeName"] !== undefined
      ? { spec: { ...spec, nodeName: old["nodeName"] } }
      : {}
  return { ...value, ...placed, ...status }
}

function find(
  node: RunningNode,
  ref: { readonly kind: string; readonly namespace: string; readonly name: string },
): ObjectRef | undefined {
  const kind = kindMatcher(ref.kind)
  const here = (one: ObjectRef) => one.namespace === ref.namespace || one.namespace === ""
  const found = [...node.store.refs()].filter((one) => one.name === ref.name && kind(one.kind) && here(one))
  return found.sort((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1))[0]
}

const shortNames: Readonly<Record<string, string>> = {
  po: "pod",
  ns: "namespace",
  no: "node",
  netpol: "networkpolicy",
  sa: "serviceaccount",
  svc: "service",
  deploy: "deployment",
  ep: "endpoints",
  rs: "replicaset",
  ds: "daemonset",
  sts: "statefulset",
}

/** Whether a kind is meant by what a person wrote: the kind, its plural or its short name, in any case. */
export function kindMatcher(text: string): (kind: string) => boolean {
  const wanted = text.toLowerCase().replace(/\..*$/, "")
  if (wanted === "" || wanted === "all") return () => true
  return (kind) => {
    const singular = kind.toLowerCase()
    const plural = singular.endsWith("y")
      ? `${singular.slice(0, -1)}ies`
      : /(s|x|ch)$/.test(singular)
        ? `${singular}es`
        : `${singular}s`
    return wanted === singular || wanted === plural || shortNames[wanted] === singular
  }
}

function writeProblem(object: Pick<ManifestObject, "origin">, error: unknown): Problem {
  const failure = error instanceof Failure ? error : undefined
  const hint = failure?.hint ?? ""
  return {
    origin: object.origin,
    path: "",
    message: reasonOf(error),
    severity: "error",
    ...(hint === "" ? {} : { hint }),
  }
}
