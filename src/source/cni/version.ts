import { CniCode, CniError } from "./error.ts"

/** Versions of the CNI spec that can be asked for, oldest first. */
export const supportedVersions = ["0.4.0", "1.0.0", "1.1.0"] as const
export type CniVersion = (typeof supportedVersions)[number]
export const latestVersion: CniVersion = "1.1.0"

/** The version to answer in; throws `incompatibleVersion`. A configuration without `cniVersion` means 0.1.0 (libcni). */
export function cniVersion(value: unknown): CniVersion {
  const found = supportedVersions.find((version) => version === value)
  if (found !== undefined) return found
  const stated = value === undefined ? "no cniVersion" : `cniVersion ${JSON.stringify(value)}`
  throw new CniError(
    CniCode.incompatibleVersion,
    `Cannot use the network configuration: it states ${stated}`,
    `Supported: ${supportedVersions.join(", ")}`,
  )
}

/** Version for an error's `cniVersion`: what was asked with, if it is one at all. */
export function versionForError(value: unknown): string {
  return typeof value === "string" && /^\d+\.\d+\.\d+$/.test(value) ? value : latestVersion
}
