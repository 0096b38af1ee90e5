import { expect, test } from "vitest"
import { manifestAt } from "../../model/manifest.ts"
import { namespaceToModel, serviceAccountToModel } from "./namespace.ts"
import { nodeToModel } from "./node.ts"
import { placePod, podToEndpoint } from "./pod.ts"
import { kubernetesKind, validateObject } from "./validate.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }
const pod = (rest: Record<string, unknown>) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", namespace: "x" },
  ...rest,
})
const problemsOf = (value: unknown) =>
  validateObject(manifestAt(value, origin)).map(({ severity, path }) => `${severity} ${path}`)

test("a pod is an endpoint", () => {
  const endpoint = podToEndpoint({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: "x", labels: { app: "a", empty: null } },
    spec: {
      nodeName: "node-1",
      serviceAccountName: "robot",
      containers: [
        { name: "c", ports: [{ name: "web", containerPort: 80 }, { containerPort: 81 }] },
        {
          name: "d",
          ports: [
            { name: "dns", containerPort: 53, protocol: "UDP" },
            { name: "web", containerPort: 80 },
          ],
        },
      ],
      initContainers: [
        { name: "once", ports: [{ name: "once", containerPort: 1 }] },
        { name: "sidecar", restartPolicy: "Always", ports: [{ name: "side", containerPort: 2 }] },
      ],
    },
    status: { podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }, { ip: "FD00:0::1" }, { ip: "10.0.0.1" }] },
  })
  expect(endpoint).toEqual({
    namespace: "x",
    name: "a",
    node: "node-1",
    addresses: ["10.0.0.1", "fd00::1"],
    labels: { app: "a", empty: "" },
    serviceAccount: "robot",
    namedPorts: [
      { name: "web", protocol: 6, port: 80 },
      { name: "dns", protocol: 17, port: 53 },
      { name: "side", protocol: 6, port: 2 },
    ],
  })
})

test.each([
  ["podIP", { status: { podIP: "10.0.0.2" } }, ["10.0.0.2"]],
  ["podIPs before podIP", { status: { podIP: "10.0.0.2", podIPs: [{ ip: "10.0.0.3" }] } }, ["10.0.0.3"]],
  [
    "annotation",
    { metadata: { name: "a", annotations: { "heddle.io/ips": "10.0.0.4, fd00::4" } } },
    ["10.0.0.4", "fd00::4"],
  ],
  [
    "status before annotation",
    { metadata: { name: "a", annotations: { "heddle.io/ips": "10.0.0.4" } }, status: { podIP: "10.0.0.5" } },
    ["10.0.0.5"],
  ],
  ["none", {}, []],
])("addresses: %s", (_name, rest, expected) => {
  expect(podToEndpoint(pod(rest))?.addresses).toEqual(expected)
})

test("defaults of a pod", () => {
  expect(podToEndpoint({ apiVersion: "v1", kind: "Pod", metadata: { name: "a" } })).toMatchObject({
    namespace: "default",
    node: "",
    serviceAccount: "default",
    labels: {},
  })
})

test("a host-network pod is its node, an ended one is nothing", () => {
  const host = pod({ spec: { hostNetwork: true, nodeName: "n" }, status: { podIP: "192.0.2.1" } })
  expect(placePod(host)).toMatchObject({ kind: "host", node: "n", addresses: ["192.0.2.1"] })
  expect(podToEndpoint(host)).toBeUndefined()
  for (const phase of ["Succeeded", "Failed"])
    expect(placePod(pod({ status: { phase, podIP: "10.0.0.1" } }))).toEqual({ kind: "ended" })
  for (const phase of ["Pending", "Running", "Unknown"])
    expect(placePod(pod({ status: { phase } })).kind).toBe("endpoint")
})

test("nodes", () => {
  const value = {
    metadata: { name: "n", labels: { zone: "a" } },
    spec: { podCIDR: "10.1.0.0/24", podCIDRs: ["10.1.0.0/24", "fd00:1::/64"] },
    status: {
      addresses: [
        { type: "Hostname", address: "n" },
        { type: "InternalIP", address: "192.0.2.1" },
        { type: "ExternalIP", address: "2001:DB8::1" },
      ],
    },
  }
  expect(nodeToModel(value)).toEqual({
    name: "n",
    labels: { zone: "a" },
    addresses: ["192.0.2.1", "2001:db8::1"],
    podPrefixes: ["10.1.0.0/24", "fd00:1::/64"],
  })
})

test("a namespace always carries its name as a label", () => {
  const value = { apiVersion: "v1", kind: "Namespace", metadata: { name: "x", labels: { team: "red" } } }
  expect(namespaceToModel(value)).toEqual({ name: "x", labels: { team: "red", "kubernetes.io/metadata.name": "x" } })
})

test("service accounts", () => {
  const value = {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "robot", namespace: "x", labels: { a: "b" } },
  }
  expect(serviceAccountToModel(value)).toEqual({ namespace: "x", name: "robot", labels: { a: "b" } })
})

const container = (rest: unknown) => pod({ spec: { containers: [{ name: "c", image: "i", ...(rest as object) }] } })
test.each<[string, unknown, string[]]>([
  [
    "a whole pod",
    container({ ports: [{ containerPort: 80, hostPort: 0 }], resources: { limits: { cpu: 1, memory: "1Gi" } } }),
    [],
  ],
  ["no containers", pod({ spec: {} }), ["warning spec.containers"]],
  ["bad address", { ...container({}), status: { podIPs: [{ ip: "10.0.0.256" }] } }, ["error status.podIPs[0].ip"]],
  ["bad single address", { ...container({}), status: { podIP: "x" } }, ["error status.podIP"]],
  [
    "bad annotation",
    { ...container({}), metadata: { name: "a", annotations: { "heddle.io/ips": "x" } } },
    ["error metadata.annotations[heddle.io/ips]"],
  ],
  ["port 0", container({ ports: [{ containerPort: 0 }] }), ["error spec.containers[0].ports[0].containerPort"]],
  ["no port", container({ ports: [{ name: "web" }] }), ["error spec.containers[0].ports[0].containerPort"]],
  [
    "bad port name",
    container({ ports: [{ containerPort: 1, name: "Web" }] }),
    ["error spec.containers[0].ports[0].name"],
  ],
  [
    "port name twice",
    container({
      ports: [
        { containerPort: 1, name: "w" },
        { containerPort: 2, name: "w" },
      ],
    }),
    ["error spec.containers[0].ports[1].name"],
  ],
  [
    "bad protocol",
    container({ ports: [{ containerPort: 1, protocol: "udp" }] }),
    ["error spec.containers[0].ports[0].protocol"],
  ],
  ["unknown field", container({ port: [] }), ["error spec.containers[0].port"]],
  [
    "container name twice",
    pod({ spec: { containers: [{ name: "c" }, { name: "c" }] } }),
    ["error spec.containers[1].name"],
  ],
  ["namespace in capitals", { apiVersion: "v1", kind: "Namespace", metadata: { name: "X" } }, ["error metadata.name"]],
  ["namespace with a dot", { apiVersion: "v1", kind: "Namespace", metadata: { name: "x.y" } }, ["error metadata.name"]],
  [
    "namespace of a namespace",
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "x", namespace: "y" } },
    ["warning metadata.namespace"],
  ],
  [
    "service name with a digit first",
    { apiVersion: "v1", kind: "Service", metadata: { name: "1a" } },
    ["error metadata.name"],
  ],
  [
    "node range",
    { apiVersion: "v1", kind: "Node", metadata: { name: "n" }, spec: { podCIDRs: ["x"] } },
    ["error spec.podCIDRs[0]"],
  ],
  [
    "node address",
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n" },
      status: { addresses: [{ type: "InternalIP", address: "n" }] },
    },
    ["error status.addresses[0].address"],
  ],
  [
    "deployment without template",
    { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" }, spec: {} },
    ["error spec.template"],
  ],
  [
    "labels of a template",
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "d" },
      spec: { selector: {}, template: { metadata: { labels: { a: "b c" } }, spec: { containers: [{ name: "c" }] } } },
    },
    ["error spec.template.metadata.labels.a"],
  ],
])("validation: %s", (_name, value, expected) => {
  expect(problemsOf(value)).toEqual(expected)
})

test("the schema knows the kinds that Heddle reads", () => {
  for (const kind of [
    "v1/Namespace",
    "v1/Pod",
    "v1/Service",
    "v1/Endpoints",
    "v1/Node",
    "v1/ConfigMap",
    "v1/Secret",
    "v1/ServiceAccount",
  ]) {
    expect(kubernetesKind("v1", kind.slice(3))).toBeDefined()
  }
  expect(kubernetesKind("networking.k8s.io/v1", "NetworkPolicy")).toMatchObject({ namespaced: true })
  expect(kubernetesKind("v1", "NetworkPolicy")).toBeUndefined()
  expect(kubernetesKind("v1", "constructor")).toBeUndefined()
})
