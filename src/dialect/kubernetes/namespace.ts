import type { Namespace, ServiceAccount } from "../../model/cluster.ts"
import { recordAt, setOwn, textMapAt } from "../read.ts"
import { identityOf } from "./metadata.ts"

/** Label that the API server sets on every namespace, whatever the manifest says. */
const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"

/** The model of a valid Namespace. */
export function namespaceToModel(value: unknown): Namespace {
  const name = identityOf(value, false)?.name ?? ""
  const labels: Record<string, string> = { ...textMapAt(recordAt(value, "metadata"), "labels") }
  setOwn(labels, NAMESPACE_NAME_LABEL, name)
  return { name, labels }
}

/** A namespace that something is in but nobody declared. */
export function implicitNamespace(name: string): Namespace {
  return { name, labels: { [NAMESPACE_NAME_LABEL]: name } }
}

/** The model of a valid ServiceAccount. */
export function serviceAccountToModel(value: unknown): ServiceAccount {
  const identity = identityOf(value, true)
  const labels = textMapAt(recordAt(value, "metadata"), "labels")
  return { namespace: identity?.namespace ?? "", name: identity?.name ?? "", labels }
}
