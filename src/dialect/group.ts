import { groupOf } from "./kubernetes/metadata.ts"

/**
 * The API group by which an object is told from others of its kind and name. Calico's objects are the same ones under the group of its API
 * and under that of the resources that store them.
 */
export function objectGroup(apiVersion: string): string {
  const group = groupOf(apiVersion)
  return group === "crd.projectcalico.org" ? "projectcalico.org" : group
}
