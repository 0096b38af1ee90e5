import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"

const lab = `policy-tools-${process.pid}`
const directory = mkdtempSync(join(tmpdir(), "heddle-policy-tools-"))
const command = join(import.meta.dirname, "../../bin/heddle")
const path = (name: string): string => join(directory, name)

const pod = (name: string, port: number): string => `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {nodeName: node-1, containers: [{name: c, image: x, ports: [{containerPort: ${port}}]}]}
`
const staged = `apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: lock, namespace: shop}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress: [{action: Deny, source: {selector: app == 'web'}}]
`
const misspelt = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: wbe}}}]}]
`

interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function heddle(...words: string[]): Result {
  const run = spawnSync(command, words, { encoding: "utf8", timeout: 60_000, env: { ...process.env, NO_COLOR: "1" } })
  return { code: run.status, out: run.stdout, err: run.stderr }
}

beforeAll(() => {
  writeFileSync(path("cluster.yaml"), [pod("web", 80), pod("db", 5432)].join("---\n"))
  writeFileSync(path("staged.yaml"), staged)
  writeFileSync(path("misspelt.yaml"), misspelt)
  const up = heddle("lab", "up", "--name", lab, "-f", path("cluster.yaml"), path("staged.yaml"))
  expect(up.code, up.err).toBe(0)
  const { out } = heddle("endpoint", "list", "--lab", lab, "-o", "json")
  const endpoints = JSON.parse(out) as { name: string; addresses: string[] }[]
  const address = endpoints.find((one) => one.name === "db")?.addresses[0] ?? ""
  heddle(
    "lab",
    "exec",
    "--name",
    lab,
    "shop/web",
    "--",
    "timeout",
    "1",
    "bash",
    "-c",
    `exec 3<>/dev/tcp/${address}/5432`,
  )
}, 120_000)

afterAll(() => {
  heddle("lab", "down", "--name", lab)
  rmSync(directory, { recursive: true })
}, 60_000)

test("a staged policy stops nothing, and flows and why say what it would do", () => {
  interface Shown {
    verdict: string
    ingress?: { staged?: { verdict: string; by: string; line: number } }
  }
  const flows = JSON.parse(heddle("observe", "--lab", lab, "--staged", "-o", "json").out) as Shown[]
  expect(flows[0]).toMatchObject({
    verdict: "forwarded",
    ingress: { staged: { verdict: "deny", by: "default/StagedNetworkPolicy shop/lock ingress[0]" } },
  })
  const why = heddle("why", "shop/web", "shop/db", "--port", "5432/TCP", "--lab", lab)
  expect(why.out).toContain("ALLOWED")
  expect(why.out).toContain("would be denied by default/StagedNetworkPolicy shop/lock ingress[0]")
}, 60_000)

test("link chatter is shown when all is asked for", () => {
  expect(heddle("observe", "--lab", lab, "--last", "1000").out).not.toContain("multicast")
  expect(heddle("observe", "--lab", lab, "--last", "1000", "--all").out).toContain("multicast")
}, 60_000)

test("what a file would change in the running cluster, flows that were seen included", () => {
  const diff = heddle("policy", "diff", path("misspelt.yaml"), "--lab", lab, "--exit-code")
  expect(diff.out).toContain("- denied   shop/web -> shop/db  every protocol and port")
  expect(diff.out).toContain("- seen, would be denied   shop/web -> shop/db  5432/TCP")
  expect(diff.code).toBe(1)
}, 60_000)

test("a file is linted over the pods of the running cluster", () => {
  const lint = heddle("policy", "lint", path("misspelt.yaml"), "--lab", lab, "--strict")
  expect(lint.out).toContain("misspelt.yaml:6:")
  expect(lint.out).toContain("did you mean web?")
  expect(lint.code).toBe(1)
}, 60_000)

test("two states are compared, and policies converted, from files alone", () => {
  const converted = heddle("policy", "convert", "--to", "calico", path("misspelt.yaml"))
  expect([converted.code, converted.err]).toEqual([0, ""])
  writeFileSync(path("calico.yaml"), converted.out)
  const files = [path("misspelt.yaml"), path("calico.yaml")]
  const same = heddle("policy", "diff", ...files, "--with", path("cluster.yaml"), "--exit-code")
  expect([same.code, same.out]).toEqual([0, ""])
  const refused = heddle("policy", "convert", "--to", "policy-api", path("misspelt.yaml"))
  expect([refused.code, refused.out]).toEqual([1, ""])
  expect(refused.err).toContain("misspelt.yaml:1:1: NetworkPolicy shop/db: cannot keep tier default")
}, 60_000)
