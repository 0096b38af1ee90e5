import type { JsonObject, Manifest } from "./format.ts"
import { kindOf, nameOf, namespaceOf, objectAt, textAt, valueAt } from "./manifest.ts"

/** Kinds whose pods a controller would make, with the API group of each. */
const controllers: Readonly<Record<string, string>> = {
  Deployment: "apps",
  ReplicaSet: "apps",
  StatefulSet: "apps",
  DaemonSet: "apps",
  ReplicationController: "",
  Job: "batch",
}

/** Whether the object stands for pods made from its template. */
export function isController(object: JsonObject): boolean {
  const kind = kindOf(object)
  const group = Object.hasOwn(controllers, kind) ? controllers[kind] : undefined
  if (group === undefined) return false
  const apiVersion = textAt(object, "apiVersion") ?? ""
  return group === "" ? apiVersion === "v1" : apiVersion.startsWith(`${group}/`)
}

/**
 * The pods that a controller would make: `NAME-0`, `NAME-1`, … from the pod template, as many as `replicas` (Job:
 * `parallelism`) says, 1 by default; a DaemonSet has one on each of `nodes`. They have the template's labels and no address yet.
 */
export function podsOf(manifest: Manifest, nodes: readonly string[]): readonly Manifest[] {
  const object = manifest.value
  const template = objectAt(object, "spec", "template")
  const daemon = kindOf(object) === "DaemonSet"
  const wanted = valueAt(object, "spec", kindOf(object) === "Job" ? "parallelism" : "replicas")
  const count = daemon ? nodes.length : typeof wanted === "number" && wanted >= 0 ? Math.floor(wanted) : 1
  const { labels, annotations } = objectAt(template, "metadata")
  return Array.from({ length: count }, (_, i): Manifest => {
    const node = nodes[i]
    const value = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${nameOf(object)}-${i}`,
        namespace: namespaceOf(object),
        ...(labels === undefined ? {} : { labels }),
        ...(annotations === undefined ? {} : { annotations }),
        ownerReferences: [
          { apiVersion: object["apiVersion"], kind: kindOf(object), name: nameOf(object), uid: nameOf(object) },
        ],
      },
      spec: { ...objectAt(template, "spec"), ...(daemon && node !== undefined ? { nodeName: node } : {}) },
    }
    return {
      value,
      origin: manifest.origin,
      originAt: (path) => manifest.originAt(["spec", "template", ...path]),
    }
  })
}

/** The items of a list (`kind: List`, `PodList`, …), or the object itself. */
export function itemsOf(manifest: Manifest): readonly Manifest[] {
  if (!kindOf(manifest.value).endsWith("List") || !Array.isArray(manifest.value["items"])) return [manifest]
  return manifest.value["items"].flatMap((_, i): readonly Manifest[] => {
    const path = ["items", i]
    const originAt: Manifest["originAt"] = (inner) => manifest.originAt([...path, ...inner])
    return itemsOf({ value: objectAt(manifest.value["items"], `${i}`), origin: originAt([]), originAt })
  })
}
