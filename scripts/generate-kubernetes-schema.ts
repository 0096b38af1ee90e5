/**
 * Writes src/dialect/kubernetes/schema.generated.json: the fields and types of Kubernetes kinds, taken from the model classes of
 * @kubernetes/client-node (a development dependency, so that the bundle does not carry it).
 * Run: node scripts/generate-kubernetes-schema.ts
 */
import { writeFileSync } from "node:fs"
import * as models from "@kubernetes/client-node"

interface Attribute {
  readonly baseName: string
  readonly type: string
  readonly format: string
}

/** apiVersion → kinds; a trailing `*` marks a cluster-wide kind. */
const groups: Readonly<Record<string, readonly string[]>> = {
  v1: [
    "Namespace*",
    "Node*",
    "Pod",
    "Service",
    "Endpoints",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "ReplicationController",
    "PersistentVolume*",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "LimitRange",
    "PodTemplate",
  ],
  "apps/v1": ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision"],
  "batch/v1": ["Job", "CronJob"],
  "autoscaling/v2": ["HorizontalPodAutoscaler"],
  "coordination.k8s.io/v1": ["Lease"],
  "discovery.k8s.io/v1": ["EndpointSlice"],
  "networking.k8s.io/v1": ["NetworkPolicy", "Ingress", "IngressClass*", "IPAddress*", "ServiceCIDR*"],
  "policy/v1": ["PodDisruptionBudget"],
  "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding", "ClusterRole*", "ClusterRoleBinding*"],
  "scheduling.k8s.io/v1": ["PriorityClass*"],
  "storage.k8s.io/v1": ["StorageClass*"],
}

/** Class names where the pattern V<version><Kind> does not hold. */
const classNames: Readonly<Record<string, string>> = {}

/** Fields that hold a quantity (`100m`, `1Gi`), which Kubernetes also takes as a bare number; client-node calls them strings. */
const quantities = new Set([
  "allocatable",
  "allocatedResources",
  "averageValue",
  "capacity",
  "default",
  "defaultRequest",
  "divisor",
  "hard",
  "limits",
  "max",
  "maxLimitRequestRatio",
  "min",
  "overhead",
  "requests",
  "sizeLimit",
  "used",
])

const types: Record<string, Record<string, string>> = {}
const kinds: Record<string, { type: string; namespaced: boolean }> = {}

function classOf(name: string): { getAttributeTypeMap(): readonly Attribute[] } | undefined {
  const found: unknown = (models as Readonly<Record<string, unknown>>)[name]
  return typeof found === "function" && "getAttributeTypeMap" in found
    ? (found as unknown as { getAttributeTypeMap(): readonly Attribute[] })
    : undefined
}

/** client-node's type text → ours: `[]T` a list, `{}T` a map, else a scalar's name or a class. */
function typeText(attribute: Attribute, type = attribute.type): string {
  const list = /^Array<(.+)>$/.exec(type)
  if (list?.[1] !== undefined) return `[]${typeText(attribute, list[1])}`
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)
  if (map?.[1] !== undefined) return `{}${typeText(attribute, map[1])}`
  switch (type) {
    case "string":
      return quantities.has(attribute.baseName) ? "quantity" : "string"
    case "number":
      return attribute.format === "double" ? "number" : "integer"
    case "boolean":
      return "boolean"
    case "Date":
    case "V1MicroTime":
      return "string"
    case "IntOrString":
      return "intOrString"
    case "any":
    case "object":
      return "any"
  }
  return collect(type)
}

function collect(className: string): string {
  const name = className.replace(/^(?:Core|Discovery|Events|Rbac)?V\d+(?:(?:alpha|beta)\d+)?/, "")
  if (types[name] !== undefined) return name
  const type = classOf(className)
  if (type === undefined) throw new Error(`@kubernetes/client-node has no class ${className}`)
  const fields: Record<string, string> = {}
  types[name] = fields
  for (const attribute of type.getAttributeTypeMap()) fields[attribute.baseName] = typeText(attribute)
  return name
}

for (const [apiVersion, names] of Object.entries(groups)) {
  const version = apiVersion.slice(apiVersion.indexOf("/") + 1).replace(/^v/, "V")
  for (const marked of names) {
    const kind = marked.replace("*", "")
    const type = collect(classNames[kind] ?? `${version}${kind}`)
    kinds[`${apiVersion}/${kind}`] = { type, namespaced: !marked.endsWith("*") }
  }
}

const target = new URL("../src/dialect/kubernetes/schema.generated.json", import.meta.url)
writeFileSync(target, `${JSON.stringify({ kinds, types })}\n`)
