import type { Endpoint, NamedPort } from "../../model/cluster.ts"
import type { FieldPath } from "../../model/problem.ts"
import { tryParseAddress } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textMapAt } from "../read.ts"
import type { Report } from "../report.ts"
import { identityOf } from "./metadata.ts"
import { portNameFault, portNumberFault } from "./names.ts"
import { protocolNumbers } from "./network-policy.ts"
import type { SelectablePod } from "./service.ts"

/** Annotation that states a pod's addresses before it has any: texts separated by commas. */
const ADDRESS_ANNOTATION = "heddle.io/ips"

/** What a Pod object is in the model: an endpoint, a process on its node, or nothing (it has ended). */
export type PodPlace =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  /** Host-network: its addresses are its node's. */
  | {
      readonly kind: "host"
      readonly node: string
      readonly addresses: readonly Address[]
      readonly pod: SelectablePod
    }
  | { readonly kind: "ended" }

/** Places a valid Pod in the model. */
export function placePod(value: unknown): PodPlace {
  const phase = textAt(recordAt(value, "status"), "phase")
  if (phase === "Succeeded" || phase === "Failed") return { kind: "ended" }
  const spec = recordAt(value, "spec")
  const node = textAt(spec, "nodeName") ?? ""
  const identity = identityOf(value, true)
  if (identity === undefined) throw new Error("Cannot place a Pod without a name: it must be validated first")
  const pod: SelectablePod = {
    namespace: identity.namespace,
    addresses: podAddresses(value),
    labels: textMapAt(recordAt(value, "metadata"), "labels"),
    namedPorts: namedPorts(spec),
  }
  if (fieldAt(spec, "hostNetwork") === true) return { kind: "host", node, addresses: pod.addresses, pod }
  const endpoint: Endpoint = {
    ...pod,
    name: identity.name,
    node,
    serviceAccount: textAt(spec, "serviceAccountName") || textAt(spec, "serviceAccount") || "default",
  }
  return { kind: "endpoint", endpoint }
}

/** The endpoint that a valid Pod is; undefined for a host-network pod and for one that has ended. */
export function podToEndpoint(value: unknown): Endpoint | undefined {
  const place = placePod(value)
  return place.kind === "endpoint" ? place.endpoint : undefined
}

/** `status.podIPs`, else `status.podIP`, else the annotation `heddle.io/ips`, in this order, each address once. */
export function podAddresses(value: unknown): readonly Address[] {
  const texts = statedAddresses(value).map(({ text }) => text)
  return [...new Set(texts.flatMap((text) => tryParseAddress(text) ?? []))]
}

/** The node's address as the pod's status tells it (`status.hostIPs`, `status.hostIP`). */
export function podHostAddresses(value: unknown): readonly Address[] {
  const status = recordAt(value, "status")
  const texts = [...listAt(status, "hostIPs").map((item) => textAt(item, "ip")), textAt(status, "hostIP")]
  return [...new Set(texts.flatMap((text) => (text === undefined ? [] : (tryParseAddress(text) ?? []))))]
}

function statedAddresses(value: unknown): { text: string; path: FieldPath }[] {
  const status = recordAt(value, "status")
  const list = listAt(status, "podIPs").flatMap((item, index) => {
    const text = textAt(item, "ip")
    return text ? [{ text, path: ["status", "podIPs", index, "ip"] }] : []
  })
  if (list.length > 0) return list
  const single = textAt(status, "podIP")
  if (single) return [{ text: single, path: ["status", "podIP"] }]
  const annotation = textAt(recordAt(recordAt(value, "metadata"), "annotations"), ADDRESS_ANNOTATION)
  const texts = annotation === undefined ? [] : annotation.split(",").map((text) => text.trim())
  const path = ["metadata", "annotations", ADDRESS_ANNOTATION]
  return texts.filter((text) => text !== "").map((text) => ({ text, path }))
}

/** Named ports of containers and of sidecars (init containers that are restarted always), as Services resolve them. */
function namedPorts(spec: unknown): readonly NamedPort[] {
  const sidecars = listAt(spec, "initContainers").filter((container) => textAt(container, "restartPolicy") === "Always")
  const ports = new Map<string, NamedPort>()
  for (const container of [...listAt(spec, "containers"), ...sidecars]) {
    for (const item of listAt(container, "ports")) {
      const name = textAt(item, "name")
      const port = numberAt(item, "containerPort")
      const protocol = protocolNumbers[textAt(item, "protocol") ?? "TCP"]
      if (!name || port === undefined || protocol === undefined) continue
      ports.set(`${name} ${protocol} ${port}`, { name, protocol, port })
    }
  }
  return [...ports.values()]
}

/** What the API server checks of a Pod as far as Heddle reads it: addresses, container names and ports, node name. */
export function validatePod(value: unknown, report: Report): void {
  for (const { text, path } of statedAddresses(value)) {
    if (tryParseAddress(text) === undefined) report.error(path, `${JSON.stringify(text)} is no IP address`)
  }
  validatePodSpec(fieldAt(value, "spec"), ["spec"], report)
}

/** The part that pods share with the pod templates of workloads. */
export function validatePodSpec(spec: unknown, path: FieldPath, report: Report): void {
  if (spec === undefined || listAt(spec, "containers").length === 0) {
    report.warning([...path, "containers"], "a pod needs at least one container to run")
  }
  const names = new Set<string>()
  for (const section of ["initContainers", "containers"]) {
    for (const [index, container] of listAt(spec, section).entries()) {
      const containerPath = [...path, section, index]
      const name = textAt(container, "name") ?? ""
      if (name !== "" && names.has(name)) report.error([...containerPath, "name"], `a second container named ${name}`)
      names.add(name)
      validateContainerPorts(listAt(container, "ports"), [...containerPath, "ports"], report)
    }
  }
}

function validateContainerPorts(ports: readonly unknown[], path: FieldPath, report: Report): void {
  const names = new Set<string>()
  for (const [index, port] of ports.entries()) {
    const at = [...path, index]
    const name = textAt(port, "name")
    if (name) {
      const fault = portNameFault(name)
      if (fault !== undefined) report.error([...at, "name"], `the port name ${JSON.stringify(name)} ${fault}`)
      else if (names.has(name)) report.error([...at, "name"], `a second port named ${name} in one container`)
      names.add(name)
    }
    const protocol = textAt(port, "protocol")
    if (protocol !== undefined && protocol !== "" && protocolNumbers[protocol] === undefined) {
      report.error([...at, "protocol"], `unsupported protocol ${JSON.stringify(protocol)}`, "allowed: TCP, UDP, SCTP")
    }
    for (const field of ["containerPort", "hostPort"]) {
      const number = numberAt(port, field)
      if (number === undefined) {
        const missing = field === "containerPort" && fieldAt(port, field) === undefined
        if (missing) report.error([...at, field], "a port number is required")
        continue
      }
      const fault = field === "hostPort" && number === 0 ? undefined : portNumberFault(number)
      if (fault !== undefined) report.error([...at, field], `port ${number} ${fault}`)
    }
  }
}
