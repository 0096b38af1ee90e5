/** Put in by scripts/build-bundle; absent when the sources run. */
declare const HEDDLE_VERSION: string | undefined
declare const HEDDLE_COMMIT: string | undefined

export interface Version {
  readonly version: string
  readonly commit: string
}

export const version: Version = {
  version: typeof HEDDLE_VERSION === "string" ? HEDDLE_VERSION : "0.1.0-dev",
  commit: typeof HEDDLE_COMMIT === "string" ? HEDDLE_COMMIT : "sources",
}
