import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { DirectorySource } from "../../source/directory/directory.ts"
import { ObjectStore } from "../../source/objects.ts"
import { readManifests } from "../../source/yaml.ts"
import { DigestHistory, type RunningNode } from "../node.ts"
import { ObjectFiles } from "../object-files.ts"
import { applyMethod, awaitMethod, deleteMethod } from "./objects.ts"

let root: string
let directory: string
let store: ObjectStore
let source: DirectorySource
let node: RunningNode
let enforced: string
let committed: () => void

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "hd-service-"))
  directory = join(root, "objects")
  mkdirSync(directory)
  place("other.yaml", policy("other"))
  store = new ObjectStore({ now: Date.now })
  const digests = new DigestHistory()
  const onChange = ({ digest }: { digest: string }): void => digests.note(digest)
  source = new DirectorySource({ directory, store, now: Date.now, onChange, settle: 5 })
  await source.start()
  enforced = store.digest
  const files = new ObjectFiles(directory, (key) => source.holder(key))
  const committer = {
    get enforced() {
      return { digest: enforced, generation: 1 }
    },
  }
  const onCommit = (listener: () => void) => {
    committed = listener
    return () => {}
  }
  // What these three methods use of a node.
  node = {
    store,
    source,
    files,
    digests,
    now: Date.now,
    configuration: { objects: directory },
    committer,
    onCommit,
  } as never
})

afterEach(async () => {
  await source.close()
  rmSync(root, { recursive: true })
})

function policy(name: string, body = "{}"): string {
  return `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: x}, spec: ${body}}\n`
}

/** As another program writes it: whole, and a while ago. */
function place(name: string, text: string): void {
  writeFileSync(join(root, "new"), text)
  utimesSync(join(root, "new"), 1, 1)
  renameSync(join(root, "new"), join(directory, name))
}

/** A call as it comes over the wire; the context tells whether the caller went away. */
function call<Answer>(method: unknown, request: object): Promise<Answer> {
  return (method as (request: object, context: object) => Promise<Answer>)(request, { signal: { aborted: false } })
}

interface Changed {
  readonly digest: string
  readonly results: readonly { readonly result: string }[]
}

const apply = (text: string, dryRun = false) =>
  call<Changed>(applyMethod(node), { manifests: [{ file: "mine.yaml", text }], namespace: "", dryRun })
const awaited = (digest: string, timeoutMs = 5_000) =>
  call<{ reached: boolean }>(awaitMethod(node), { digest, timeoutMs })

test("a change is in force in the store when apply answers, and only its file was looked at", async () => {
  const scan = vi.spyOn(source, "scan")
  const before = store.digest
  const created = await apply(policy("a"))
  expect(created.results).toMatchObject([{ result: "created" }])
  expect(created.digest).toBe(store.digest)
  expect(created.digest).not.toBe(before)
  expect(node.digests.newest).toBe(created.digest)
  expect((await apply(policy("a"))).results).toMatchObject([{ result: "unchanged" }])
  expect((await apply(policy("a", "{policyTypes: [Egress]}"), true)).results).toMatchObject([{ result: "configured" }])
  expect(store.digest).toBe(created.digest)
  expect((await apply(policy("a", "{policyTypes: [Egress]}"))).results).toMatchObject([{ result: "configured" }])
  const refs = [{ kind: "netpol", namespace: "x", name: "a" }]
  const gone = await call<Changed>(deleteMethod(node), { manifests: [], refs, namespace: "", dryRun: false })
  expect(gone).toMatchObject({ results: [{ result: "deleted" }], digest: before })
  expect(scan).not.toHaveBeenCalled()
})

test("what is enforced, or read and on its way, is awaited without looking at the directory", async () => {
  const looks = [vi.spyOn(source, "scan"), vi.spyOn(source, "catchUp"), vi.spyOn(source, "look")]
  expect(await awaited(enforced)).toMatchObject({ reached: true })
  const { digest } = await apply(policy("a"))
  looks[2]?.mockClear()
  const answer = awaited(digest)
  await new Promise((resolve) => setTimeout(resolve, 250))
  enforced = digest
  committed()
  expect(await answer).toMatchObject({ reached: true })
  for (const look of looks) expect(look).not.toHaveBeenCalled()
})

test("a state that comes again counts when it was read again, not because it was there before", async () => {
  const first = enforced
  enforced = (await apply(policy("a"))).digest
  rmSync(join(directory, "networking.k8s.io_NetworkPolicy_x_a.json"))
  let answered = false
  const answer = awaited(first).finally(() => {
    answered = true
  })
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(answered).toBe(false)
  expect(node.digests.newest).toBe(first)
  enforced = first
  committed()
  expect(await answer).toMatchObject({ reached: true })
  enforced = "something later"
  node.digests.note(enforced)
  expect(await awaited(first)).toMatchObject({ reached: true })
})

test("what another program wrote just before is read before the answer", async () => {
  place("b.yaml", policy("b"))
  const wanted = new ObjectStore({ now: Date.now })
  const { objects } = readManifests(`${policy("other")}---\n${policy("b")}`, "all.yaml")
  for (const object of objects) wanted.put(object)
  const catchUp = vi.spyOn(source, "catchUp")
  const answer = awaited(wanted.digest)
  await catchUp.mock.results[0]?.value
  expect(store.digest).toBe(wanted.digest)
  enforced = wanted.digest
  committed()
  expect(await answer).toMatchObject({ reached: true })
})
