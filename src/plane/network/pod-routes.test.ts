import { describe, expect, test } from "vitest"
import { type Cluster, type Endpoint, emptyCluster, type Node } from "../../model/cluster.ts"
import { parseAddress } from "../../net/address.ts"
import { parsePrefix } from "../../net/prefix.ts"
import { PodRoutes } from "./pod-routes.ts"

function nodeOf(name: string, addresses: readonly string[], prefixes: readonly string[]): Node {
  return {
    name,
    labels: {},
    addresses: addresses.map((text) => parseAddress(text)),
    podPrefixes: prefixes.map((text) => parsePrefix(text)),
  }
}

function podOf(name: string, ...addresses: readonly string[]): Endpoint {
  const rest = { labels: {}, serviceAccount: "default", namedPorts: [] }
  return { namespace: "x", name, node: "a", addresses: addresses.map((text) => parseAddress(text)), ...rest }
}

function clusterOf(nodes: readonly Node[], endpoints: readonly Endpoint[]): Cluster {
  return {
    ...emptyCluster,
    nodes: new Map(nodes.map((node) => [node.name, node])),
    endpoints: new Map(endpoints.map((endpoint) => [`x/${endpoint.name}`, endpoint])),
  }
}

function wanted(nodes: readonly Node[], endpoints: readonly Endpoint[], foreign: readonly string[] = []): string[] {
  const set = new Set(foreign.map((text) => parsePrefix(text)))
  const routes = new PodRoutes()
  routes.update(clusterOf(nodes, endpoints), [], set)
  return [...routes.all()].toSorted()
}

const none: ReadonlySet<never> = new Set()
const a = nodeOf("a", ["192.0.2.1"], ["10.1.0.0/24", "fd00:1::/64"])
const b = nodeOf("b", ["192.0.2.2"], ["10.2.0.0/24"])

describe("routes into heddle0", () => {
  test("ranges as a whole, addresses outside them alone", () => {
    expect(wanted([a, b], [podOf("p", "10.2.0.9", "fd00:2::9"), podOf("q", "172.20.0.1")])).toEqual([
      "10.1.0.0/24",
      "10.2.0.0/24",
      "172.20.0.1/32",
      "fd00:1::/64",
      "fd00:2::9/128",
    ])
  })

  test("a range inside another needs no route of its own", () => {
    expect(wanted([a, nodeOf("c", [], ["10.0.0.0/8"])], [])).toEqual(["10.0.0.0/8", "fd00:1::/64"])
  })

  test("a range that holds a node's address, or that somebody routes, is taken address by address", () => {
    const near = nodeOf("c", ["10.3.0.1"], ["10.3.0.0/16"])
    expect(wanted([near], [podOf("p", "10.3.0.5")])).toEqual(["10.3.0.5/32"])
    expect(wanted([b], [podOf("p", "10.2.0.5")], ["10.2.0.0/24"])).toEqual(["10.2.0.5/32"])
  })

  test("follows a range that changes under the same endpoints", () => {
    const routes = new PodRoutes()
    const pod = podOf("p", "10.2.0.9")
    expect(routes.update(clusterOf([b], [pod]), [], none)).toBeUndefined()
    expect([...routes.all()]).toEqual(["10.2.0.0/24"])
    const own = [parsePrefix("10.9.0.0/24")]
    expect(routes.update(clusterOf([], [pod]), own, none)).toBeUndefined()
    expect([...routes.all()]).toEqual(["10.9.0.0/24", "10.2.0.9/32"])
    expect(routes.covers(parseAddress("10.9.0.7"))).toBe(true)
  })

  test("tells what may have come or gone, and nothing when nothing did", () => {
    const routes = new PodRoutes()
    const cluster = clusterOf([a], [podOf("p", "10.1.0.9")])
    routes.update(cluster, [], none)
    expect([...(routes.update(cluster, [], none) ?? ["any"])]).toEqual([])
    const more = {
      ...cluster,
      endpoints: new Map([...cluster.endpoints, ["x/q", podOf("q", "172.20.0.1", "10.1.0.8")]]),
    }
    expect([...(routes.update(more, [], none) ?? ["any"])]).toEqual(["172.20.0.1/32"])
    expect(routes.has(parsePrefix("172.20.0.1/32"))).toBe(true)
    expect([...(routes.update(cluster, [], none) ?? ["any"])]).toEqual(["172.20.0.1/32"])
    expect(routes.has(parsePrefix("172.20.0.1/32"))).toBe(false)
  })

  test("pods that the cluster does not know yet are routed as well, as long as anybody has the address", () => {
    const routes = new PodRoutes()
    for (const text of ["10.1.0.7", "10.7.0.7"]) routes.attach(parseAddress(text))
    routes.update(clusterOf([a], [podOf("p", "10.7.0.7")]), [], none)
    expect([...routes.all()]).toEqual(["10.1.0.0/24", "fd00:1::/64", "10.7.0.7/32"])
    routes.update(clusterOf([a], []), [], none)
    expect(routes.has(parsePrefix("10.7.0.7/32"))).toBe(true)
    routes.detach(parseAddress("10.7.0.7"))
    expect([...(routes.update(clusterOf([a], []), [], none) ?? ["any"])]).toEqual(["10.7.0.7/32"])
    expect(routes.has(parsePrefix("10.7.0.7/32"))).toBe(false)
  })
})
